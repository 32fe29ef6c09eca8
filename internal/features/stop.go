package features

import (
	"context"
	"io"
	"os"
)

// untilDone passes on until its context ends; then reads and writes fail with
// the context's error. It is how a long import ends when it is told to: all its
// work hangs on bytes that come or go. A context is kept here since io has no
// place for it in a call.
type untilDone struct {
	ctx context.Context
	f   *os.File // read from
	w   io.Writer
}

// Read implements io.Reader.
func (u *untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.f.Read(p)
}

// ReadAt implements io.ReaderAt.
func (u *untilDone) ReadAt(p []byte, at int64) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.f.ReadAt(p, at)
}

// Seek implements io.Seeker.
func (u *untilDone) Seek(offset int64, whence int) (int64, error) { return u.f.Seek(offset, whence) }

// Write implements io.Writer.
func (u *untilDone) Write(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.w.Write(p)
}
