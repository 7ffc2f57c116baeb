package lines

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"landfall.dev/kit"
)

// bring sees to it that the destination has the blobs that the lines name, and
// returns those whose blobs it has. The others are left out and named.
func (p *pump) bring(ctx context.Context, batch []line) ([]line, error) {
	complete := batch[:0]
	for _, l := range batch {
		err := p.blobsOf(ctx, l)
		switch kit.FaultOf(err) {
		case 0:
			complete = append(complete, l)
		case kit.ErrNotFound, kit.ErrGone, kit.ErrInvalid:
			p.refuse(fmt.Sprintf("%s: blobs: %v", l.Link, err))
			if len(p.copied.Failed) >= maxFailed {
				return complete, nil
			}
		default:
			return nil, err
		}
	}
	return complete, nil
}

// blobsOf carries the blobs over that the line names.
func (p *pump) blobsOf(ctx context.Context, l line) error {
	for _, d := range l.Blobs {
		if p.there[d] {
			continue
		}
		if err := d.Check(); err != nil {
			return err
		}
		if err := p.blob(ctx, d); err != nil {
			return err
		}
		p.there[d] = true
	}
	return nil
}

// blob carries the blob over, if the destination does not have it.
func (p *pump) blob(ctx context.Context, d kit.Digest) error {
	name := "blobs/" + string(d)
	res, err := p.to.open(ctx, http.MethodHead, name, nil, nil)
	if err == nil {
		return res.Body.Close()
	}
	if kit.FaultOf(err) != kit.ErrNotFound {
		return err
	}
	res, err = p.from.open(ctx, http.MethodGet, name, nil, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.ContentLength < 0 {
		return kit.Errorf(kit.ErrInvalid, "", "%s sends the blob %s without a Content-Length", res.Request.URL.Host, d)
	}
	n, err := p.to.give(ctx, name, p.pace.Reader(ctx, res.Body), res.ContentLength)
	p.copied.Bytes += n
	return err
}

// give puts the bytes to an instance that answers, and returns how many it took.
func (s service) give(ctx context.Context, name string, body io.Reader, size int64) (int64, error) {
	res, err := s.open(ctx, http.MethodGet, "status", nil, nil)
	if err != nil {
		return 0, err
	}
	res.Body.Close()
	address := *res.Request.URL
	address.Path, address.RawQuery = "/migrate/"+name, ""
	if size == 0 {
		body = http.NoBody // else its length would count as unknown
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, address.String(), body)
	if err != nil {
		return 0, err
	}
	req.ContentLength = size
	if res, err = s.do(ctx, req); err != nil {
		return 0, err
	}
	return size, res.Body.Close()
}
