package larder

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"syscall"
	"time"
)

// Disk keeps files in a directory. Nobody needs to believe what is read: the cache judges it as it
// judges an answer, so the host can make a file useless and no more. Nothing in one is secret.
type Disk struct {
	Dir string
	Max int // bytes of a file
}

// temporary is a name for a file while it is being written. Each writing has one of its own, since programs that share
// the directory may have the same process number, in containers. What is left of a crash is in nobody's way.
func (d *Disk) temporary(name string) string {
	return fmt.Sprintf(".%s.%016x", name, rand.Uint64())
}

// Read returns the file of that name and when it was written. Both are
// zero if the file is not there, or is of the given time still.
func (d *Disk) Read(name string, known time.Time) ([]byte, time.Time, error) {
	root, err := os.OpenRoot(d.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, time.Time{}, nil // the first write makes it
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	defer root.Close()
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, time.Time{}, nil
	}
	if err == nil {
		err = checkPlain(info)
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	if info.ModTime().Equal(known) {
		return nil, time.Time{}, nil
	}
	f, written, err := openPlain(root, name)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(d.Max)+1)) // who parses it refuses one that is larger
	if err != nil {
		return nil, time.Time{}, err
	}
	return data, written, nil
}

// openPlain opens a plain file, and nothing that took its place since it was looked at: even a pipe, which would hang, is
// opened at once. Another program's newer file is welcome.
func openPlain(root *os.Root, name string) (*os.File, time.Time, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, time.Time{}, err
	}
	info, err := f.Stat()
	if err == nil {
		err = checkPlain(info)
	}
	if err != nil {
		_ = f.Close() // the first error says it
		return nil, time.Time{}, err
	}
	return f, info.ModTime(), nil
}

// checkPlain refuses all but plain files. A link would let whoever made it choose what is opened.
func checkPlain(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: got a %v, want a plain file", info.Name(), info.Mode().Type())
	}
	return nil
}

// Write puts data into the file of that name: whoever reads it, after a crash too, finds the old
// one or the new one whole. Its time is the given one.
func (d *Disk) Write(name string, data []byte, at time.Time) error {
	if len(data) > d.Max {
		return fmt.Errorf("got %d bytes, want at most %d", len(data), d.Max)
	}
	if err := os.MkdirAll(d.Dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(d.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	temporary := d.temporary(name)
	err = writeFile(root, temporary, data)
	if err == nil {
		err = root.Chtimes(temporary, at, at)
	}
	if err == nil {
		err = root.Rename(temporary, name)
	}
	if err != nil {
		_ = root.Remove(temporary) // the first error says it
		return err
	}
	return syncDir(d.Dir)
}

// writeFile writes a new file through to the disk. All may read it: it is public, as its maker publishes it.
func writeFile(root *os.Root, name string, data []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes a rename last. Where a directory can't be synced, the file system decides.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = f.Sync()
	return f.Close()
}
