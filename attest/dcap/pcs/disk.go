package pcs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
)

// maxFile bounds a file, in bytes, as [dcap.ParseCollateral] does.
const maxFile = 1 << 20

// disk keeps collateral in a directory, a QuoteCollateralV3 file for each
// platform. It believes nothing that it reads: the cache verifies it as it
// verifies an answer, so the host can make a file useless and no more. Nothing in one is secret.
type disk struct{ dir string }

// name is made of checked words and hex digits alone.
func (d *disk) name(p dcap.Platform) string {
	return fmt.Sprintf("%s-%x-%s.json", p.TEE, p.FMSPC, p.CA)
}

// temporary is a name for a file while it is being written. Each writing has one of its own, since programs that share
// the directory may have the same process number, in containers. What is left of a crash is in nobody's way.
func (d *disk) temporary(p dcap.Platform) string {
	return fmt.Sprintf(".%s.%016x", d.name(p), rand.Uint64())
}

// read returns the collateral in the platform's file and when it was written. Both are
// zero if the file is not there, or is of the given time still.
func (d *disk) read(p dcap.Platform, known time.Time) (*dcap.Collateral, time.Time, error) {
	root, err := os.OpenRoot(d.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, time.Time{}, nil // the first write makes it
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	defer root.Close()
	name := d.name(p)
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
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1)) // ParseCollateral refuses one that is larger
	if err != nil {
		return nil, time.Time{}, err
	}
	c, err := dcap.ParseCollateral(data)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("%s: %w", name, err)
	}
	return c, written, nil
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

// write puts the collateral into the platform's file: whoever reads it, after a crash too, finds the old
// one or the new one whole. Its time is the given one.
func (d *disk) write(p dcap.Platform, c *dcap.Collateral, at time.Time) error {
	data := c.Marshal()
	if len(data) > maxFile {
		return fmt.Errorf("got %d bytes, want at most %d", len(data), maxFile)
	}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	temporary := d.temporary(p)
	err = writeFile(root, temporary, data)
	if err == nil {
		err = root.Chtimes(temporary, at, at)
	}
	if err == nil {
		err = root.Rename(temporary, d.name(p))
	}
	if err != nil {
		_ = root.Remove(temporary) // the first error says it
		return err
	}
	return syncDir(d.dir)
}

// writeFile writes a new file through to the disk. All may read it: it is public, as Intel publishes it.
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

// readDisk takes what is in the platform's file if it was not seen before. It
// tells whether nothing is to be asked of the source now.
func (c *Cache) readDisk(e *entry) bool {
	if c.disk == nil {
		return false
	}
	now := c.now()
	collateral, written, err := c.disk.read(e.platform, e.fileTime)
	fresh := false
	if err == nil && collateral != nil {
		fetchedAt := written
		if written.After(now) {
			fetchedAt = time.Time{} // its age can't be told, so the source is asked
		}
		err = c.take(e, collateral, fetchedAt)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.diskErr = err; err == nil && collateral != nil {
		e.fileTime = written
		if fresh = now.Before(e.held.refreshAt); !fresh {
			close(e.flight.taken)
		}
	}
	return fresh
}

// writeDisk keeps what was just taken.
func (c *Cache) writeDisk(e *entry, collateral *dcap.Collateral) {
	if c.disk == nil {
		return
	}
	at := c.now().Truncate(time.Second) // as every file system can say it
	err := c.disk.write(e.platform, collateral, at)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.diskErr = err; err == nil {
		e.fileTime = at
	}
}
