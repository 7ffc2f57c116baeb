package access

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// Neither tokens nor subjects, of which there may be any number, fill the
// memory, and no secret of a token is kept.
func TestPolicyRemembersABoundedNumberOfCallers(t *testing.T) {
	kinds := store.NewKinds()
	for _, k := range Owned(kinds) {
		kinds.Add(k)
	}
	s := store.New(kinds)
	p := NewPolicy(s, kinds)
	var tokens []string
	for range remembered/1000 + 1 {
		var writes []kit.Write
		for range 1000 {
			id, doc, text := newToken(fmt.Sprintf("users/u%d", len(tokens)), "")
			body, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			writes = append(writes, kit.Write{Verb: kit.VerbCreate, Link: Tokens.Link(id), Body: body})
			tokens = append(tokens, text)
		}
		entry, results := s.Decide([]store.Proposal{{Writes: writes}}, time.Now())
		if results[0].Err != nil {
			t.Fatal(results[0].Err)
		}
		if err := s.Apply(entry); err != nil {
			t.Fatal(err)
		}
	}
	for i, token := range tokens {
		c, err := p.Bearer(token, time.Now())
		if err != nil || c.Subject != fmt.Sprintf("users/u%d", i) {
			t.Fatalf("token %d: %+v, %v, want users/u%d", i, c, err, i)
		}
		if len(p.tokens) > remembered || len(p.callers) > remembered {
			t.Fatalf("after %d callers %d tokens and %d callers are remembered, want at most %d", i+1, len(p.tokens), len(p.callers), remembered)
		}
	}
	kept := fmt.Sprintf("%+v", p.tokens)
	for _, token := range tokens[len(tokens)-100:] {
		_, secret, _ := strings.Cut(strings.TrimPrefix(token, TokenPrefix), "_")
		if strings.Contains(kept, secret) {
			t.Fatal("a token's secret is kept")
		}
	}
}
