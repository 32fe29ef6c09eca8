// Package bucket reads and writes objects by name in a folder or in an S3 bucket, which a URL names:
//
//	/var/lib/events  file:///var/lib/events    a folder
//	s3://name/prefix?region=eu-central-1       a bucket of Amazon S3, or of what speaks its protocol
//	                                           (endpoint=https://host, use_path_style=true)
//
// Credentials of S3 come from the environment, as all of its tools take them (AWS_ACCESS_KEY_ID, web identity, instance
// role). An object appears whole or not at all, in both kinds.
package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcerrors"
)

// ErrTooLong says that an object has more bytes than its reader takes.
var ErrTooLong = errors.New("object too long")

// Bucket is an open place for objects. Close it after use.
type Bucket struct {
	objects *blob.Bucket
	name    string
}

// Is says whether a name is a URL rather than a path.
func Is(name string) bool { return strings.Contains(name, "://") }

// Open opens what a URL or a path names. A folder must exist; whether a bucket does shows at its first use.
func Open(ctx context.Context, name string) (*Bucket, error) {
	b, err := open(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", plain(name), err)
	}
	return &Bucket{objects: b, name: plain(name)}, nil
}

func open(ctx context.Context, name string) (*blob.Bucket, error) {
	if !Is(name) {
		return folder(name)
	}
	u, err := url.Parse(name)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" {
			return nil, fmt.Errorf("write file:///%s%s, with three slashes", u.Host, u.Path)
		}
		return folder(filepath.FromSlash(u.Path))
	case s3blob.Scheme:
		b, err := new(s3blob.URLOpener).OpenBucketURL(ctx, u)
		if prefix := strings.Trim(u.Path, "/"); err == nil && prefix != "" {
			b = blob.PrefixedBucket(b, prefix+"/")
		}
		return b, err
	}
	return nil, fmt.Errorf("scheme %q is unknown, want file or s3", u.Scheme)
}

func folder(dir string) (*blob.Bucket, error) {
	return fileblob.OpenBucket(dir, &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
}

// plain is a name without what may be secret in a URL.
func plain(name string) string {
	if u, err := url.Parse(name); err == nil && Is(name) {
		u.User, u.RawQuery = nil, ""
		return u.String()
	}
	return name
}

// Name is the URL without its parameters.
func (b *Bucket) Name() string { return b.name }

// Close lets the bucket go.
func (b *Bucket) Close() error { return b.objects.Close() }

// List gives the names of all objects below a prefix, sorted. Names with a hidden element are left out.
func (b *Bucket) List(ctx context.Context, prefix string) ([]string, error) {
	var names []string
	for list := b.objects.List(&blob.ListOptions{Prefix: prefix}); ; {
		o, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			slices.Sort(names)
			return names, nil
		}
		if err != nil {
			return nil, b.fault("list", prefix, err)
		}
		if !strings.HasPrefix(o.Key, ".") && !strings.Contains(o.Key, "/.") && !strings.HasSuffix(o.Key, "/") {
			names = append(names, o.Key)
		}
	}
}

// Read gives an object of at most limit bytes. fs.ErrNotExist says that there is none, ErrTooLong that it has more.
func (b *Bucket) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	r, err := b.objects.NewReader(ctx, name, nil)
	if err != nil {
		return nil, b.fault("read", name, err)
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, b.fault("read", name, err)
	}
	if int64(len(data)) > limit {
		return nil, b.fault("read", name, fmt.Errorf("%w: it has more than %d bytes", ErrTooLong, limit))
	}
	return data, nil
}

// Fetch copies an object into a file that must not exist.
func (b *Bucket) Fetch(ctx context.Context, name, file string) (err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", name, err)
	}
	err = b.objects.Download(ctx, name, f, nil)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(b.fault("fetch", name, err), os.Remove(file))
	}
	return nil
}

// Write makes an object of these bytes, in the place of the one of that name.
func (b *Bucket) Write(ctx context.Context, name string, data []byte) error {
	if err := b.objects.WriteAll(ctx, name, data, nil); err != nil {
		return b.fault("write", name, err)
	}
	return nil
}

// Create is Write where there is no object of that name, and fs.ErrExist where there is one. A bucket decides between two
// who create at the same moment; a folder does so within one process only, and of two processes the later write stays, as
// it does in a store that speaks S3's protocol without knowing If-None-Match. Who must be sure reads again.
func (b *Bucket) Create(ctx context.Context, name string, data []byte) error {
	if err := b.objects.WriteAll(ctx, name, data, &blob.WriterOptions{IfNotExist: true}); err != nil {
		return b.fault("create", name, err)
	}
	return nil
}

// Remove removes an object; one that is not there is no error.
func (b *Bucket) Remove(ctx context.Context, name string) error {
	if err := b.objects.Delete(ctx, name); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return b.fault("remove", name, err)
	}
	return nil
}

// Store makes an object of a file.
func (b *Bucket) Store(ctx context.Context, name, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	defer f.Close() // nothing was written
	if err := b.objects.Upload(ctx, name, f, &blob.WriterOptions{ContentType: "application/octet-stream"}); err != nil {
		return b.fault("store", name, err)
	}
	return nil
}

// fault names action and object, and gives what is missing, and what is there already, the error that files have.
func (b *Bucket) fault(doing, name string, err error) error {
	switch gcerrors.Code(err) {
	case gcerrors.NotFound:
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	case gcerrors.FailedPrecondition:
		err = fmt.Errorf("%w: %w", fs.ErrExist, err)
	}
	return fmt.Errorf("%s %s: %w", doing, b.name+"/"+path.Clean(name), err)
}
