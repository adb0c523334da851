package live

import (
	"context"
	"maps"
	"sync"

	"github.com/confidential-token-broker/ctb/internal/watch"
)

// Files tells when one of some files has changed; which files, may change too.
type Files struct {
	// Changed gets a value when a file has changed. Several changes may be one value.
	Changed chan struct{}
	polling func(path string, err error)
	stop    map[string]context.CancelFunc // by path
	watches sync.WaitGroup
}

// NewFiles returns one that follows no file yet. It calls polling for a file of whose
// changes the system gives no notice, so that they are found within ten seconds.
func NewFiles(polling func(path string, err error)) *Files {
	return &Files{Changed: make(chan struct{}, 1), polling: polling, stop: map[string]context.CancelFunc{}}
}

// Look is what is in the files now, for Follow: call it before they are read.
func Look(paths ...string) map[string]watch.Content {
	seen := map[string]watch.Content{}
	for _, p := range paths {
		if p != "" {
			seen[p] = watch.Look(p)
		}
	}
	return seen
}

// Follow makes the files those to be followed, until ctx ends. What a file had when it
// was seen counts only for one that was not followed before.
func (f *Files) Follow(ctx context.Context, seen map[string]watch.Content) {
	for path := range maps.Keys(f.stop) {
		if _, ok := seen[path]; !ok {
			f.stop[path]()
			delete(f.stop, path)
		}
	}
	for path, content := range seen {
		if f.stop[path] == nil {
			f.stop[path] = f.follow(ctx, path, content)
		}
	}
}

func (f *Files) follow(ctx context.Context, path string, seen watch.Content) context.CancelFunc {
	ctx, stop := context.WithCancel(ctx)
	f.watches.Go(func() {
		err := watch.Follow(ctx, path, seen, f.wake, func(err error) { f.polling(path, err) })
		if err != nil {
			f.polling(path, err)
		}
	})
	return stop
}

func (f *Files) wake() {
	select {
	case f.Changed <- struct{}{}:
	default: // a look is due already, and it will see what is there then
	}
}

// Wait waits until nothing is followed any more: after the contexts of all Follows have ended.
func (f *Files) Wait() { f.watches.Wait() }
