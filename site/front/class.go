package front

import (
	"fmt"
	"net/http"
	"time"
)

// Class says how requests take part in a hold. All of them wait at their head
// while the door holds; the class is about those that are inside by then.
type Class string

// The classes.
const (
	// Short requests are waited for by a drain. It is the class of whatever is
	// of no other.
	Short Class = "short"

	// Streams are not waited for: they are cut when traffic moves to another
	// side, and their clients resume. Only GETs can be streams; those that accept
	// text/event-stream and upgrades such as WebSocket are without being declared.
	Stream Class = "stream"

	// Uploads move a body that may take long, either way. A drain waits for them during a
	// part of its time only; then the hold fails, and traffic goes on as before.
	// A request whose body has more than 1 MiB is one without being declared.
	Upload Class = "upload"
)

// Rule declares the class of the requests that match a pattern.
type Rule struct {
	// Pattern is one of net/http's ServeMux: "GET /builds/{id}/log", "/files/".
	Pattern string `json:"pattern"`
	Class   Class  `json:"class"`
}

// Bound limits the requests of a class that wait. What is 0 has the default.
type Bound struct {
	Held  int           // how many
	Bytes int64         // memory of their heads, and of such bodies as are already read
	Wait  time.Duration // how long one may wait
}

// defaultBounds are for what Options leaves open.
var defaultBounds = map[Class]Bound{
	Short:  {Held: 20_000, Bytes: 256 << 20, Wait: 10 * time.Second},
	Stream: {Held: 20_000, Bytes: 256 << 20, Wait: 10 * time.Second},
	Upload: {Held: 1_000, Bytes: 64 << 20, Wait: 30 * time.Second},
}

// fillBounds returns bounds for all classes.
func fillBounds(given map[Class]Bound) map[Class]Bound {
	all := map[Class]Bound{}
	for class, b := range given {
		all[class] = b
	}
	for class, d := range defaultBounds {
		b := all[class]
		setDefault(&b.Held, d.Held)
		setDefault(&b.Bytes, d.Bytes)
		setDefault(&b.Wait, d.Wait)
		all[class] = b
	}
	return all
}

// classes tells which requests have a declared class.
type classes struct{ mux *http.ServeMux }

// declared is the handler of a rule's pattern. It only carries the class.
type declared struct {
	http.Handler
	class Class
}

// newClasses returns the classes that the rules declare, or what is wrong with
// them.
func newClasses(rules []Rule) (c *classes, err error) {
	var at Rule
	defer func() {
		if p := recover(); p != nil { // that is how a ServeMux refuses a pattern
			err = fmt.Errorf("front: the route %q cannot be declared %s: %v", at.Pattern, at.Class, p)
		}
	}()
	c = &classes{mux: http.NewServeMux()}
	for _, at = range rules {
		switch at.Class {
		case Short, Stream, Upload:
		default:
			return nil, fmt.Errorf("front: the route %q is declared %q: a class is short, stream or upload", at.Pattern, at.Class)
		}
		c.mux.Handle(at.Pattern, declared{class: at.Class})
	}
	return c, nil
}

// of returns the class that is declared for r, or "".
func (c *classes) of(r *http.Request) Class {
	if c == nil {
		return ""
	}
	h, _ := c.mux.Handler(r)
	if d, ok := h.(declared); ok {
		return d.class
	}
	return ""
}

// classify returns the class of q, and whether it could become an Upload if its
// body turns out to be long. Its class is declared or "".
func (q *request) classify(declared Class) (c Class, open bool) {
	get := q.in.Method == http.MethodGet
	switch {
	case q.upgrade != "", get && hasToken(q.in.Header, "Accept", "text/event-stream"):
		return Stream, false
	case declared == Stream && !get:
		return Short, false // what it writes must not be cut
	case declared != "":
		return declared, false
	case q.in.ContentLength > keptBody:
		return Upload, false
	}
	return Short, true
}
