package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/runner/step"
)

// giveSecrets asks the hub for the build's secrets, and puts them where its
// steps find them.
func (a *attempt) giveSecrets(ctx context.Context) error {
	uses := a.build.Spec.Secrets
	if len(uses) == 0 {
		return nil
	}
	var values map[string]api.SecretParts
	err := retry(ctx, func() error {
		path := fmt.Sprintf("/secret/of/%s?attempt=%d", url.PathEscape(a.build.Link.ID()), a.build.Attempt)
		res, err := a.runner.request(ctx, http.MethodGet, path, nil, 0)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if err := json.NewDecoder(res.Body).Decode(&values); err != nil {
			return &kit.Error{Fault: kit.ErrUnavailable, Detail: "the answer with the secrets broke off"}
		}
		return nil
	})
	if err == nil {
		a.masked, err = step.WriteSecrets(a.space.script(), uses, values)
	}
	if err != nil {
		return fmt.Errorf("get the secrets: %w", err)
	}
	return nil
}
