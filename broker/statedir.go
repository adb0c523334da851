package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Bounds of what is read of a state directory.
const (
	maxStateFiles  = 1024    // names
	maxStateSize   = 8 << 20 // bytes of all records
	maxStateFaults = 8       // that are told one by one
)

const (
	stateSuffix = ".json"
	stateTemp   = ".tmp" // a record that was not finished
	stateLock   = ".lock"
)

// stateName is what may name a record: no name of a file that means something else, such as "..".
var stateName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// DirState keeps records as files in a directory, which is made if it is not there (its parent must be). An
// error means that there can be no such directory at this path.
//
// A record is written beside its place, synced, and renamed, and the directory is synced: after a crash there is the old
// one or the new one, and never a part. What is not a regular file of a record, a symbolic link above all, is not opened, and
// left as it is. The directory is locked from the first use on until the broker's Run ends, where the system has such locks (flock): a second broker
// loads nothing, and so takes no key into use, until the first has ended.
func DirState(dir string) (State, error) {
	if dir == "" {
		return nil, errors.New("state directory: no path is given")
	}
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("state directory: %s is a file, want a directory", path)
	}
	return &stateDir{path: path}, nil
}

// stateDir implements State and io.Closer.
type stateDir struct {
	path string
	mu   sync.Mutex
	lock *os.File // held; nil before the first use
}

func (d *stateDir) file(name string) string { return filepath.Join(d.path, name) }

// Load implements State.
func (d *stateDir) Load(ctx context.Context) (map[string][]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.own(); err != nil {
		return nil, err
	}
	names, faults, err := d.names()
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	records := map[string][]byte{}
	size := 0
	for _, file := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		name, ok := strings.CutSuffix(file, stateSuffix)
		switch {
		case file == stateLock:
			continue
		case strings.HasPrefix(file, ".") && strings.HasSuffix(file, stateTemp):
			_ = os.Remove(d.file(file)) // of a run that ended while it wrote; if it stays, it is in nobody's way
			continue
		case !ok || !stateName.MatchString(name):
			faults.add(fmt.Errorf("%q is no record's name", file))
			continue
		}
		record, err := readRegular(d.file(file), MaxRecord+1)
		if err == nil && size+len(record) > maxStateSize {
			err = fmt.Errorf("%s: all records together have more than %d bytes", file, maxStateSize)
		}
		if err != nil {
			faults.add(err)
			continue
		}
		size += len(record)
		records[name] = record
	}
	return records, faults.err()
}

// names are those of the directory, sorted, so that what is left out of too many is always the same.
func (d *stateDir) names() ([]string, *faults, error) {
	dir, err := os.Open(d.path)
	if err != nil {
		return nil, nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxStateFiles + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	told := new(faults)
	if len(names) > maxStateFiles {
		names = names[:maxStateFiles]
		told.add(fmt.Errorf("%s has more than %d files", d.path, maxStateFiles))
	}
	slices.Sort(names)
	return names, told, nil
}

// readRegular reads a file of at most max bytes, and waits for nobody: not for the writer of a FIFO, either.
func readRegular(path string, max int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openCarefully, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := checkRegular(f, path); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > max {
		return nil, fmt.Errorf("%s: got more than %d bytes, want a record", path, max)
	}
	return data, nil
}

func checkRegular(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file: %v", path, info.Mode().Type())
	}
	return nil
}

// Keep implements State.
func (d *stateDir) Keep(_ context.Context, name string, record []byte) error {
	if !stateName.MatchString(name) {
		return fmt.Errorf("state directory: got the name %.64q, want letters, digits, - and _, at most 128", name)
	}
	if len(record) > MaxRecord+1 {
		return fmt.Errorf("state directory: got a record of %d bytes, want at most %d", len(record), MaxRecord+1)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.own(); err != nil {
		return err
	}
	if err := d.write(name, record); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	return nil
}

// write puts a record into its place. Each step must have reached the disk before the next.
func (d *stateDir) write(name string, record []byte) error {
	temp := d.file("." + name + stateTemp)
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Exclusive: what somebody has put there meanwhile, a link for example, is not written to.
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(record)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temp, d.file(name+stateSuffix))
	}
	if err != nil {
		_ = os.Remove(temp) // or the next attempt does
		return err
	}
	return d.sync()
}

// Forget implements State.
func (d *stateDir) Forget(_ context.Context, name string) error {
	if !stateName.MatchString(name) {
		return fmt.Errorf("state directory: got the name %.64q, want letters, digits, - and _, at most 128", name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.own(); err != nil {
		return err
	}
	// Not synced: a record that comes back after a crash is forgotten again.
	if err := os.Remove(d.file(name + stateSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("state directory: %w", err)
	}
	return nil
}

// sync makes the names in the directory durable.
func (d *stateDir) sync() error {
	dir, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// own locks the directory, if it is not locked yet.
func (d *stateDir) own() error {
	if d.lock != nil {
		return nil
	}
	f, err := os.OpenFile(d.file(stateLock), os.O_RDWR|os.O_CREATE|openCarefully, 0o600)
	if err == nil {
		err = checkRegular(f, d.file(stateLock))
	}
	if err == nil {
		err = lockFile(f)
	}
	if err != nil {
		if f != nil {
			_ = f.Close() // nothing was written
		}
		return fmt.Errorf("state directory: %w", err)
	}
	d.lock = f
	return nil
}

// Close lets another broker have the directory.
func (d *stateDir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lock == nil {
		return nil
	}
	err := d.lock.Close()
	d.lock = nil
	return err
}

// faults are told together, and the first of them one by one.
type faults struct {
	told []error
	more int
}

func (f *faults) add(err error) {
	if len(f.told) == maxStateFaults {
		f.more++
		return
	}
	f.told = append(f.told, err)
}

func (f *faults) err() error {
	if f.more > 0 {
		return fmt.Errorf("%w; and %d more", errors.Join(f.told...), f.more)
	}
	return errors.Join(f.told...)
}
