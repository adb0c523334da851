package broker

import (
	"context"
	"maps"
	"sync"
	"time"
)

const (
	probeEvery   = 30 * time.Second // identity providers whose keys are not there are asked again
	refreshEvery = 5 * time.Minute  // and so are all others, as if somebody had come with an unknown key
)

// watchIssuers fetches the keys of identity providers before the first token
// needs them, and tries again with those that fail, so that the health page is true without
// traffic. It refreshes the keys of the others, so that one which its provider has
// withdrawn is forgotten without traffic too.
func (b *Broker) watchIssuers(ctx context.Context) {
	asked := map[*issuer]time.Time{}
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		b.probeIssuers(ctx, asked)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// probeIssuers asks those that were never asked, those whose newest fetch failed, and
// those that were not asked for some time.
func (b *Broker) probeIssuers(ctx context.Context, asked map[*issuer]time.Time) {
	now, current := b.config.Now(), b.ring.current.Load().issuers
	maps.DeleteFunc(asked, func(i *issuer, _ time.Time) bool { return current[i.named.URL] != i })
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8) // fetches under way at a time
	for name, i := range current {
		if last, ok := asked[i]; ok && now.Sub(last).Abs() < refreshEvery && i.keys.Err() == nil {
			continue
		}
		asked[i] = now
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			_, _ = i.keys.Key(ctx, newID()) // which no key has, so that they are fetched; what counts is whether that went well
			if err := i.keys.Err(); err != nil && ctx.Err() == nil {
				b.config.Logger.Warn("the keys of an identity provider can't be had", "idp", name, "err", err)
			}
		})
	}
	wg.Wait()
}
