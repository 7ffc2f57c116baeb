package git

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
)

// maxWants is the largest request of a fetch, unpacked.
const maxWants = 64 << 20

// Server is what Handler asks of its caller for each request.
type Server struct {
	// Open finds the repository and decides on access: service is Fetch or
	// Send. Project is the path before the service, without ".git". Its errors
	// become 404 (ErrNotFound, ErrInvalid), 403 (ErrDenied) or 500.
	Open func(r *http.Request, project, service string) (*Repository, error)

	// Judge returns the judge of the push that r brings to the project.
	Judge func(r *http.Request, project string) Judge

	// Log gets the faults of this host.
	Log *slog.Logger
}

// Handler serves PROJECT/info/refs, PROJECT/git-upload-pack and
// PROJECT/git-receive-pack, where PROJECT may end with ".git". Whoever needs
// a 401 for a request answers it before this handler.
func Handler(s Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		project, name := route(r.URL.Path)
		switch name {
		case "info/refs":
			s.advertise(w, r, project)
		case Fetch, Send:
			s.call(w, r, project, name)
		default:
			http.Error(w, "no such page of a repository; git asks for info/refs", http.StatusNotFound)
		}
	})
}

// route cuts a path into the project and what is asked of it.
func route(path string) (project, name string) {
	for _, name := range []string{"info/refs", Fetch, Send} {
		if project, ok := strings.CutSuffix(path, "/"+name); ok {
			return strings.TrimSuffix(strings.TrimPrefix(project, "/"), ".git"), name
		}
	}
	return "", ""
}

func (s Server) advertise(w http.ResponseWriter, r *http.Request, project string) {
	if !method(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	service := r.URL.Query().Get("service")
	if service != Fetch && service != Send {
		http.Error(w, "only smart HTTP is served; use git 1.6.6 or newer", http.StatusForbidden)
		return
	}
	repository, err := s.Open(r, project, service)
	if err != nil {
		s.fail(w, r, project, err)
		return
	}
	answer := begin(w, "application/x-"+service+"-advertisement")
	err = repository.Advertise(r.Context(), answer, service, r.Header.Get("Git-Protocol"))
	s.end(answer, r, project, err)
}

func (s Server) call(w http.ResponseWriter, r *http.Request, project, service string) {
	if !method(w, r, http.MethodPost) {
		return
	}
	if want := "application/x-" + service + "-request"; r.Header.Get("Content-Type") != want {
		http.Error(w, "Content-Type must be "+want, http.StatusUnsupportedMediaType)
		return
	}
	repository, err := s.Open(r, project, service)
	if err != nil {
		s.fail(w, r, project, err)
		return
	}
	body, err := decode(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnsupportedMediaType)
		return
	}
	// Git may answer a fetch while it is still reading the request.
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.fail(w, r, project, err)
		return
	}
	answer := begin(w, "application/x-"+service+"-result")
	if service == Send {
		err = repository.ReceivePack(r.Context(), answer, body, s.Judge(r, project))
	} else {
		err = repository.UploadPack(r.Context(), answer, io.LimitReader(body, maxWants), r.Header.Get("Git-Protocol"))
	}
	s.end(answer, r, project, err)
}

// decode returns the body without its content coding.
func decode(r *http.Request) (io.Reader, error) {
	switch coding := r.Header.Get("Content-Encoding"); coding {
	case "", "identity":
		return r.Body, nil
	case "gzip", "x-gzip":
		body, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, fmt.Errorf("the body is not gzip: %w", err)
		}
		return body, nil
	default:
		return nil, fmt.Errorf("content coding %q: only gzip is known: %w", coding, ErrInvalid)
	}
}

// method answers requests with any other method than those allowed.
func method(w http.ResponseWriter, r *http.Request, allowed ...string) bool {
	for _, m := range allowed {
		if r.Method == m {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	http.Error(w, "use "+allowed[0], http.StatusMethodNotAllowed)
	return false
}

// response knows whether anything has been written, since after that an error
// cannot become a status any more.
type response struct {
	http.ResponseWriter
	written bool
}

func (w *response) Write(p []byte) (int, error) {
	w.written = true
	return w.ResponseWriter.Write(p)
}

// begin prepares an answer that no proxy may keep.
func begin(w http.ResponseWriter, kind string) *response {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-cache, max-age=0, must-revalidate")
	h.Set("Pragma", "no-cache")
	h.Set("Expires", "Fri, 01 Jan 1980 00:00:00 GMT")
	return &response{ResponseWriter: w}
}

// end deals with the error of an answer. Once it has begun, the client sees
// the fault in the protocol itself, which always has an end of its own.
func (s Server) end(w *response, r *http.Request, project string, err error) {
	switch {
	case err == nil:
	case w.written:
		s.log(r, project, err)
	case errors.Is(err, ErrInvalid):
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		s.fail(w, r, project, err)
	}
}

// fail answers a request whose repository could not be opened or read.
func (s Server) fail(w http.ResponseWriter, r *http.Request, project string, err error) {
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrInvalid):
		http.Error(w, err.Error(), http.StatusNotFound)
	case errors.Is(err, ErrDenied):
		http.Error(w, err.Error(), http.StatusForbidden)
	default:
		s.log(r, project, err)
		http.Error(w, internal, http.StatusInternalServerError)
	}
}

// log reports a fault of this host, which a client that went away is not.
func (s Server) log(r *http.Request, project string, err error) {
	if r.Context().Err() == nil {
		s.Log.Error("git request failed", "project", project, "path", r.URL.Path, "err", err)
	}
}
