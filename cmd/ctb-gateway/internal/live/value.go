// Package live holds values that are read from files, and reads them again when the files change.
//
// It owns when a file is read: not while somebody writes it, not again while it is
// as it was, and with what was read last kept for as long as the new is not
// good. It does not know what is in a file.
package live

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/confidential-token-broker/ctb/internal/watch"
)

// A file that has changed is read once it has been the same for quiet. One that is still
// being written after patience is left for the next time.
const (
	quiet    = 100 * time.Millisecond
	patience = 20 // times quiet
)

// errWriting says that a file does not come to rest.
var errWriting = errors.New("the file is being written all the time; it is read when it has come to rest")

// Value is a value that is read from files.
type Value[T any] struct {
	value atomic.Pointer[T]
	err   atomic.Pointer[error] // of the newest attempt

	mu    sync.Mutex // one reading at a time, so that no older one is stored last
	files []string
	load  func() (T, error)
	seen  []watch.Content // what value was read from
}

// Open reads a value. Empty names of files do not count; without any file it is never read again.
func Open[T any](files []string, load func() (T, error)) (*Value[T], error) {
	v := &Value[T]{load: load, files: slices.DeleteFunc(slices.Clone(files), func(f string) bool { return f == "" })}
	return v, v.reload(v.look())
}

// Get returns the newest good value.
func (v *Value[T]) Get() T { return *v.value.Load() }

// Err tells what was wrong when the files were read last; nil if nothing was.
func (v *Value[T]) Err() error {
	if err := v.err.Load(); err != nil {
		return *err
	}
	return nil
}

// Refresh reads the value again if its files have changed. On an error it keeps what it
// has, and the next Refresh tries again.
func (v *Value[T]) Refresh(ctx context.Context) (changed bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if slices.Equal(v.look(), v.seen) {
		v.err.Store(nil) // they are again what the value was read from
		return false, nil
	}
	now, err := v.settled(ctx)
	if err == nil {
		err = regular(v.files)
	}
	if err == nil {
		err = v.reload(now)
	}
	v.err.Store(&err)
	return err == nil, err
}

// look is what is in the files now. It comes before they are read, so that no change is missed.
func (v *Value[T]) look() []watch.Content {
	var now []watch.Content
	for _, f := range v.files {
		now = append(now, watch.Look(f))
	}
	return now
}

// settled is look when nobody writes any more: who truncates a file and then writes it leaves
// half of it there for a moment, which might look like a good one.
func (v *Value[T]) settled(ctx context.Context) ([]watch.Content, error) {
	before := v.look()
	for range patience {
		select {
		case <-time.After(quiet):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		now := v.look()
		if slices.Equal(now, before) {
			return now, nil
		}
		before = now
	}
	return nil, errWriting
}

// regular wants files that are not pipes and the like. At the start they may be: to read one
// waits for who writes it, and while the gateway runs all other files would wait as well.
func regular(files []string) error {
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file any more, and a pipe or device is read at the start alone", f)
		}
	}
	return nil
}

// reload reads the value; what was in the files when they were looked at goes with it.
func (v *Value[T]) reload(now []watch.Content) error {
	value, err := v.load()
	if err != nil {
		return err
	}
	v.value.Store(&value)
	v.seen = now
	return nil
}

// loadBy makes load the way in which the value is read from now on.
func (v *Value[T]) loadBy(load func() (T, error)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.load = load
}
