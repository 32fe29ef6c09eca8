package registry

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// disk is every change the registry makes to the file system. Its fields are for
// tests; the zero value is for use.
type disk struct {
	// before is called ahead of each change with its verb and path; a test stops
	// the world there.
	before func(verb, path string) error
	// noSync leaves out the waiting for the device, which only a power cut could tell.
	noSync bool
}

func (d disk) step(verb, path string) error {
	if d.before == nil {
		return nil
	}
	return d.before(verb, path)
}

// mkdir makes one folder that must not exist.
func (d disk) mkdir(path string) error {
	if err := d.step("mkdir", path); err != nil {
		return err
	}
	return os.Mkdir(path, 0o755)
}

// create makes one file that must not exist.
func (d disk) create(path string) (*os.File, error) {
	if err := d.step("create", path); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
}

// sync puts a file's bytes on the disk.
func (d disk) sync(f *os.File) error {
	if err := d.step("sync", f.Name()); err != nil {
		return err
	}
	return d.flush(f)
}

func (d disk) flush(f *os.File) error {
	if d.noSync {
		return nil
	}
	return f.Sync()
}

// syncDir puts the names in a folder on the disk.
func (d disk) syncDir(path string) error {
	if err := d.step("syncdir", path); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.flush(f), f.Close())
}

func (d disk) rename(from, to string) error {
	if err := d.step("rename", to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

func (d disk) removeAll(path string) error {
	if err := d.step("remove", path); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

// write makes a new file of these bytes and syncs it.
func (d disk) write(path string, data []byte) error {
	f, err := d.create(path)
	if err != nil {
		return err
	}
	if err := d.step("write", path); err != nil {
		return errors.Join(err, f.Close())
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(d.sync(f), f.Close())
}

// replace puts a file of these bytes in the place of path, whole or not at all:
// written aside as temp in the same folder, synced, renamed, the folder synced.
func (d disk) replace(path, temp string, data []byte) error {
	err := d.write(temp, data)
	if err == nil {
		err = d.rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, d.removeAll(temp))
	}
	return d.syncDir(filepath.Dir(path))
}

// openRegular opens a plain file for reading. It refuses links, so that a folder
// cannot make a reader look elsewhere, and pipes, which would make it wait.
func openRegular(path string) (*os.File, error) {
	for range 100 {
		before, err := os.Lstat(path)
		if err != nil {
			return nil, err
		}
		if !before.Mode().IsRegular() {
			return nil, &irregularError{path, before.Mode()}
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		after, err := f.Stat()
		if err == nil && os.SameFile(before, after) {
			return f, nil
		}
		// A writer has replaced the file between the two looks: look again.
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("open %s: it is replaced faster than it can be opened", path)
}

// irregularError says that a path is not a plain file.
type irregularError struct {
	path string
	mode fs.FileMode
}

func (e *irregularError) Error() string {
	return fmt.Sprintf("%s is not a plain file (%s)", e.path, e.mode)
}

// errTooLong says that a file has more bytes than its reader takes.
var errTooLong = errors.New("file too long")

// readBounded reads a plain file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // nothing was written
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", errTooLong, limit)
	}
	return data, nil
}
