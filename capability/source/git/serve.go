package git

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Services of smart HTTP.
const (
	Fetch = "git-upload-pack"
	Send  = "git-receive-pack"
)

// capabilities are what ReceivePack understands.
const capabilities = "report-status report-status-v2 delete-refs side-band-64k push-options " +
	"atomic ofs-delta object-format=sha1 agent=landfall"

// Advertise writes the answer to info/refs for Fetch or Send. Protocol is the
// request's header Git-Protocol, or empty. To those who push, only branches
// and tags are shown.
func (r *Repository) Advertise(ctx context.Context, w io.Writer, service, protocol string) error {
	if service != Fetch && service != Send {
		return fmt.Errorf("service %q: only %s and %s are known: %w", service, Fetch, Send, ErrInvalid)
	}
	if service == Fetch && slices.Contains(strings.Split(protocol, ":"), "version=2") {
		return r.upload(ctx, w, nil, protocol, "--http-backend-info-refs")
	}
	head := append(appendPacket(nil, "# service="+service+"\n"), flush...)
	if service == Send {
		refs, err := r.pushRefs(ctx)
		if err != nil {
			return err
		}
		_, err = w.Write(append(head, refs...))
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	return r.upload(ctx, w, nil, protocol, "--http-backend-info-refs")
}

// UploadPack answers one request of a fetch, whose body has no content coding
// any more.
func (r *Repository) UploadPack(ctx context.Context, w io.Writer, body io.Reader, protocol string) error {
	return r.upload(ctx, w, body, protocol)
}

func (r *Repository) upload(ctx context.Context, w io.Writer, body io.Reader, protocol string, flags ...string) error {
	cmd := r.command(ctx, append(append([]string{"upload-pack", "--stateless-rpc"}, flags...), r.dir)...)
	cmd.Env = append(cmd.Env, "GIT_PROTOCOL="+protocol)
	cmd.Stdin = body
	cmd.Stdout = w
	return run(ctx, cmd, "upload-pack")
}

// pushRefs returns the list of refs, with the capabilities after a NUL in the
// first line.
func (r *Repository) pushRefs(ctx context.Context) ([]byte, error) {
	out, err := r.output(ctx, nil, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
	if err != nil {
		return nil, err
	}
	if len(out) == 0 {
		out = []byte(Zero + " capabilities^{}\n")
	}
	var list []byte
	caps := "\x00" + capabilities
	for line := range strings.Lines(string(out)) {
		list = appendPacket(list, strings.TrimSuffix(line, "\n")+caps+"\n")
		caps = ""
	}
	return append(list, flush...), nil
}
