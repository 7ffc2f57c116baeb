// Package blob keeps bytes by digest in a directory, and serves them.
//
// What is stored is checked against its digest once, on the way in, and is
// durable when Put returns. A blob never changes, so readers need no lock and
// caches no expiry. It never deletes by itself: who links to blobs knows which
// are still needed. Package shared knows it of the blobs of a platform.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"landfall.dev/kit"
)

// Disk implements kit.Blobs in a directory that one process has to itself:
//
//	sha256/ab/ab12...   a blob, under the first two of its hex digits
//	tmp/...             one that is being written
//
// A blob's file is as old as the last Put or Touch of it.
type Disk struct {
	dir string
	age sync.RWMutex // held for writing while files of some age are removed
}

// Open returns the blobs in dir, which it makes if it is missing, and removes
// what an earlier process has left unfinished.
func Open(dir string) (*Disk, error) {
	d := &Disk{dir: dir}
	if err := os.RemoveAll(d.temp()); err != nil {
		return nil, failed("open", err)
	}
	for _, sub := range []string{d.temp(), filepath.Join(dir, "sha256")} {
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return nil, failed("open", err)
		}
	}
	if err := syncDir(dir); err != nil {
		return nil, failed("open", err)
	}
	return d, nil
}

// Put implements kit.Blobs. Several may store the same bytes at once.
func (d *Disk) Put(ctx context.Context, r io.Reader, want kit.Digest) (kit.Digest, int64, error) {
	if want != "" {
		if err := want.Check(); err != nil {
			return "", 0, err
		}
	}
	f, err := os.CreateTemp(d.temp(), "put-")
	if err != nil {
		return "", 0, failed("put", err)
	}
	defer os.Remove(f.Name()) // gone already if all went well
	defer f.Close()
	hash := sha256.New()
	size, err := io.Copy(io.MultiWriter(f, hash), cancelable{ctx, r})
	if err != nil {
		return "", 0, failed("put", err)
	}
	got := kit.Digest("sha256:" + hex.EncodeToString(hash.Sum(nil)))
	if want != "" && got != want {
		return "", 0, &kit.Error{
			Fault: kit.ErrInvalid, Op: "blob.put", Detail: "the bytes have the digest " + string(got) + ", not " + string(want),
			Hint: "send them again",
		}
	}
	if err := f.Sync(); err != nil {
		return "", 0, failed("put", err)
	}
	if err := f.Close(); err != nil {
		return "", 0, failed("put", err)
	}
	if err := d.place(f.Name(), got); err != nil {
		return "", 0, failed("put", err)
	}
	return got, size, nil
}

// place moves a complete file to where its digest belongs, durably.
func (d *Disk) place(temp string, digest kit.Digest) error {
	path := d.path(digest)
	shard := filepath.Dir(path)
	d.age.RLock()
	defer d.age.RUnlock()
	switch err := os.Mkdir(shard, 0o700); {
	case err == nil || errors.Is(err, fs.ErrExist):
	default:
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	// The shard's own entry too: another Put may have made it just now.
	if err := syncDir(shard); err != nil {
		return err
	}
	return syncDir(filepath.Dir(shard))
}

// Open implements kit.Blobs.
func (d *Disk) Open(ctx context.Context, digest kit.Digest) (kit.Blob, error) {
	if err := digest.Check(); err != nil {
		return nil, err
	}
	f, err := os.Open(d.path(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing(digest)
	}
	if err != nil {
		return nil, failed("open", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, failed("open", err)
	}
	return &file{f, info.Size()}, nil
}

// Remove implements kit.Blobs. Who has the blob open can go on reading it.
func (d *Disk) Remove(ctx context.Context, digest kit.Digest) error {
	if err := digest.Check(); err != nil {
		return err
	}
	path := d.path(digest)
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return failed("remove", err)
	}
	return nil
}

// All returns the sizes of all blobs.
func (d *Disk) All() (map[kit.Digest]int64, error) {
	all := map[kit.Digest]int64{}
	err := filepath.WalkDir(filepath.Join(d.dir, "sha256"), func(path string, e fs.DirEntry, err error) error {
		digest := kit.Digest("sha256:" + filepath.Base(path))
		if err != nil || e.IsDir() || digest.Check() != nil {
			return err
		}
		info, err := e.Info()
		if err == nil {
			all[digest] = info.Size()
		}
		return err
	})
	if err != nil {
		return nil, failed("list", err)
	}
	return all, nil
}

// Touch makes the blob as old as now; one that is not there is ErrNotFound.
func (d *Disk) Touch(digest kit.Digest, now time.Time) error {
	d.age.RLock()
	defer d.age.RUnlock()
	err := os.Chtimes(d.path(digest), now, now)
	if errors.Is(err, fs.ErrNotExist) {
		return missing(digest)
	}
	if err != nil {
		return failed("touch", err)
	}
	return nil
}

// Expire removes the blob if it is older than before, and tells whether it has.
func (d *Disk) Expire(ctx context.Context, digest kit.Digest, before time.Time) (bool, error) {
	d.age.Lock()
	defer d.age.Unlock()
	info, err := os.Stat(d.path(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, failed("expire", err)
	}
	if !info.ModTime().Before(before) {
		return false, nil
	}
	return true, d.Remove(ctx, digest)
}

func (d *Disk) temp() string { return filepath.Join(d.dir, "tmp") }

func (d *Disk) path(digest kit.Digest) string {
	h := digest.Hex()
	return filepath.Join(d.dir, "sha256", h[:2], h)
}

type file struct {
	*os.File
	size int64
}

func (f *file) Size() int64 { return f.size }

// cancelable stops a copy when ctx ends.
type cancelable struct {
	ctx context.Context
	r   io.Reader
}

func (c cancelable) Read(b []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(b)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	return errors.Join(err, f.Close())
}

func missing(digest kit.Digest) error {
	return kit.Errorf(kit.ErrNotFound, "", "there is no blob %s", digest)
}

func failed(op string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &kit.Error{Fault: kit.ErrFull, Op: "blob." + op, Detail: "the disk is full", Hint: "make room on it", Err: err}
	}
	return &kit.Error{Op: "blob." + op, Err: err}
}
