package main

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/internal/watch"
)

// live is a value that is read from files, and read again when they change. A
// file that is not good (caught half written, say) changes nothing.
type live[T any] struct {
	what  string   // for the log
	files []string // that the value is read from; none: it is never read again
	first []watch.Content
	load  func() (T, error)
	value atomic.Pointer[T]

	mu   sync.Mutex      // one load at a time, so that no older one is stored last
	seen []watch.Content // what value was read from
}

func newLive[T any](what string, files []string, load func() (T, error)) (*live[T], error) {
	files = slices.DeleteFunc(slices.Clone(files), func(f string) bool { return f == "" })
	l := &live[T]{what: what, files: files, load: load}
	l.first = l.look()
	return l, l.reload(l.first)
}

// look is what is in the files now. It comes before they are read, so that no change is missed.
func (l *live[T]) look() []watch.Content {
	var now []watch.Content
	for _, f := range l.files {
		now = append(now, watch.Look(f))
	}
	return now
}

// get returns the newest good value.
func (l *live[T]) get() T { return *l.value.Load() }

// reload reads the value; what was in the files when they were looked at goes with it.
func (l *live[T]) reload(now []watch.Content) error {
	v, err := l.load()
	if err != nil {
		return err
	}
	l.value.Store(&v)
	l.seen = now
	return nil
}

// refresh reads the value again if its files have changed, and says what became
// of it. Files that are as they were keep their value: a key set has fetched its keys.
func (l *live[T]) refresh(log *slog.Logger) {
	if len(l.files) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.look()
	if slices.Equal(now, l.seen) {
		log.Info("files are unchanged", "what", l.what)
		return
	}
	if err := l.reload(now); err != nil {
		log.Error("reload failed, what was read last is kept", "what", l.what, "error", err.Error())
		return
	}
	log.Info("reloaded", "what", l.what)
}

// follow refreshes the value when a file changes, until ctx ends.
func (l *live[T]) follow(ctx context.Context, log *slog.Logger) {
	for i, path := range l.files {
		go func() {
			err := watch.Since(ctx, path, l.first[i], func() { l.refresh(log) })
			if err != nil && ctx.Err() == nil {
				log.Warn("file is not watched, SIGHUP reloads it", "file", path, "error", err.Error())
			}
		}()
	}
}

// liveKeys is the key set that was read last. Keys that were read anew count
// as others to the verifier, so tokens of keys that are gone are refused at once.
type liveKeys struct{ *live[ctb.KeySet] }

// Key implements ctb.KeySet.
func (k liveKeys) Key(ctx context.Context, kid string) (ctb.Key, error) { return k.get().Key(ctx, kid) }

// fetched is a key set that is not in a file.
type fetched interface {
	Refresh(ctx context.Context, oldest time.Duration) error
}

// update fetches the keys if there are none, or if they have reached the age
// that their source allows, and tells what is wrong with them.
func (k liveKeys) update(ctx context.Context) error {
	if set, ok := k.get().(fetched); ok {
		return set.Refresh(ctx, 0)
	}
	return nil
}

// keepFresh updates the keys until ctx ends, so that those which are withdrawn
// are forgotten while no request comes, too. Requests tell what is wrong with them;
// then is called with the set after each update.
func (k liveKeys) keepFresh(ctx context.Context, every time.Duration, then func(ctb.KeySet)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = k.update(ctx)
			then(k.get())
		}
	}
}
