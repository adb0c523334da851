// Package watch tells when a file has changed, through atomic renames,
// symlink swaps and truncate-then-write alike.
//
// It watches directories, not the file: a watch on a file follows the inode, and
// whoever replaces a file makes a new one. It does not know what is in a file, nor how
// a process gets its signals.
package watch

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quiet is how long nothing may happen before the file is looked at: between
	// truncating a file and writing it anew lies less.
	quiet = 100 * time.Millisecond
	// longest is when the file is looked at though the directory is never quiet,
	// because a log is written there, for instance.
	longest = 2 * time.Second
	// poll is how often the file is looked at though no event came: network file
	// systems send none, and a link further up in the path may have been swapped.
	poll = time.Minute
	// pollAlone is the same where no events can be had at all.
	pollAlone = 10 * time.Second
)

// File calls changed, from one goroutine, each time the file at path has another
// content than before, until ctx ends; then it returns nil. The file may be absent for
// a while or at the start. While it is absent or cannot be read, changed is not called.
//
// What changed between the caller's reading and this call is not noticed: see [Since].
func File(ctx context.Context, path string, changed func()) error {
	return Since(ctx, path, Look(path), changed)
}

// Since is File for a caller who took seen before he read the file: if the content is
// another by the time the watch stands, changed is called at once.
func Since(ctx context.Context, path string, seen Content, changed func()) error {
	return Follow(ctx, path, seen, changed, func(error) {})
}

// Follow is Since for a caller who wants to know, once, that the system gives no
// notice of changes, and why: no watch is left, the directory is absent or may not be read, or there
// is no such thing in this environment. Then the file is looked at every ten seconds.
func Follow(ctx context.Context, path string, seen Content, changed func(), polling func(error)) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		polling(fmt.Errorf("cannot watch files: %w", err))
		follow(ctx, path, seen, nil, pollAlone, changed)
		return nil
	}
	defer w.Close()
	every := poll
	if err := w.Add(filepath.Dir(path)); err != nil {
		every = pollAlone
		polling(fmt.Errorf("cannot watch the directory %s: %w", filepath.Dir(path), err))
	}
	follow(ctx, path, seen, w, every, changed)
	return nil
}

// follow looks at the file at each wake-up. The watcher may be nil.
func follow(ctx context.Context, path string, last Content, w *fsnotify.Watcher, every time.Duration, changed func()) {
	var events <-chan fsnotify.Event
	var lost <-chan error
	if w != nil {
		events, lost = w.Events, w.Errors
	}
	for range settle(ctx, events, lost, every) {
		if w != nil {
			watchDirectories(w, path)
		}
		if now := Look(path); now != last && now.readable && ctx.Err() == nil {
			last = now
			changed()
		}
	}
}

// settle turns the watcher's events into one wake-up for each burst of them, and one
// for what was before. It never stops taking events, so the watcher never waits. The
// channel is closed when ctx ends.
func settle(ctx context.Context, events <-chan fsnotify.Event, lost <-chan error, every time.Duration) <-chan struct{} {
	wake := make(chan struct{}, 1)
	wake <- struct{}{}
	go func() {
		defer close(wake)
		timer := time.NewTimer(every)
		defer timer.Stop()
		var first time.Time // of the burst; zero: none
		for {
			select {
			case <-ctx.Done():
				return
			case <-events:
			case <-lost: // events were lost: whatever they said, look
			case <-timer.C:
				first = time.Time{}
				timer.Reset(every)
				select {
				case wake <- struct{}{}:
				default: // a look is due already, and it will see what is there then
				}
				continue
			}
			if first.IsZero() {
				first = time.Now()
			}
			timer.Reset(min(quiet, max(0, longest-time.Since(first))))
		}
	}()
	return wake
}

// watchDirectories watches where path stands and where the links on the way
// lead to. A directory that cannot be watched now is tried again at the next look.
func watchDirectories(w *fsnotify.Watcher, path string) {
	wanted := []string{filepath.Dir(path)}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		wanted = append(wanted, filepath.Dir(target))
	}
	for _, directory := range w.WatchList() {
		if !slices.Contains(wanted, directory) {
			_ = w.Remove(directory) // it is gone, or will be ignored
		}
	}
	for _, directory := range wanted {
		_ = w.Add(directory) // again, if it was there: it may have been made anew
	}
}
