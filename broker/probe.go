package broker

import (
	"context"
	"sync"
	"time"
)

const (
	probeEvery   = 30 * time.Second // identity providers whose keys are not there are asked again
	refreshEvery = 5 * time.Minute  // and so are all others
)

// watchIssuers fetches the keys of identity providers before the first token
// needs them, and tries again with those that fail, so that the health page is true without
// traffic. It refreshes the keys of the others, so that one which its provider has
// withdrawn is forgotten without traffic too.
func (b *Broker) watchIssuers(ctx context.Context) {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		b.probeIssuers(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// probeIssuers asks those that were never asked, those whose newest fetch failed, and
// those that were not asked for some time.
func (b *Broker) probeIssuers(ctx context.Context) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8) // fetches under way at a time
	for name, i := range b.ring.current.Load().issuers {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := i.keys.Refresh(ctx, refreshEvery); err != nil && ctx.Err() == nil {
				b.config.Logger.Warn("the keys of an identity provider can't be had", "idp", name, "err", err)
			}
		})
	}
	wg.Wait()
}
