package kds

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/internal/larder"
)

// How a cache asks. Package internal/larder has the rest of its discipline.
const (
	DefaultRefresh      = 24 * time.Hour // AMD reissues a revocation list some weeks before its end, and may revoke on any day
	DefaultMaxPlatforms = 1024           // chips, each with the TCBs that it had
)

// CacheConfig configures a [Cache].
type CacheConfig struct {
	Source       Source            // where collateral comes from, mostly a *Client; required
	Root         *x509.Certificate // the trust anchor; nil means AMD's roots
	Dir          string            // keeps a file for each platform; made if it is missing; empty: memory only
	Refresh      time.Duration     // collateral of this age is asked for anew; 0 means 24 hours
	MaxPlatforms int               // that are held at once; 0 means 1024
	Now          func() time.Time  // nil means time.Now
}

// Cache is a [Source] that keeps what another source has. What it returns was verified up to the root, is about the platform
// asked for, is valid now, and has a revocation list that is no older than what it returned before. What is revoked by it is returned too, for a
// verifier to refuse by name. It may be used by many goroutines at once.
type Cache struct {
	larder *larder.Cache[Platform, Collateral, Chain]
}

// NewCache returns an empty cache. It reads and asks nothing yet. A directory
// that can't be used is no error, for memory does without: [Cache.Err] has it.
func NewCache(c CacheConfig) (*Cache, error) {
	switch {
	case c.Source == nil:
		return nil, errors.New("kds: cache: no source is given")
	case c.Refresh < 0 || c.MaxPlatforms < 0:
		return nil, errors.New("kds: cache: got a negative Refresh or MaxPlatforms")
	}
	return &Cache{larder.New(&kind{c.Source, c.Root}, larder.Config{
		Refresh: cmp.Or(c.Refresh, DefaultRefresh), Max: cmp.Or(c.MaxPlatforms, DefaultMaxPlatforms),
		Dir: c.Dir, MaxFile: maxCollateral, Missing: ErrNoCollateral, Now: c.Now,
	})}, nil
}

// Collateral implements [Source]. It waits only if there is nothing valid
// at hand, and then as long as ctx allows, while the question goes on for others. What it
// returns is shared: do not modify it.
func (c *Cache) Collateral(ctx context.Context, p Platform) (*Collateral, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	return c.larder.Get(ctx, p)
}

// Refresh asks for the collateral of every platform that is due, and of those with nothing
// valid, and waits until all answers are in or ctx ends.
func (c *Cache) Refresh(ctx context.Context) { c.larder.Refresh(ctx) }

// Err returns what is wrong at the moment: why the newest questions about any platform were not
// answered well, and why the directory can't be used; nil while all is well.
func (c *Cache) Err() error { return c.larder.Err() }

// Entry is what a cache knows of one platform.
type Entry struct {
	Platform    Platform
	Window      tee.Window // when the collateral is valid; zero if there never was any
	Issued      time.Time  // thisUpdate of the revocation list
	FetchedAt   time.Time  // when the source had it; zero if that can't be told
	NextRefresh time.Time  // the next question is at the first use from this instant on
	Err         error      // why the newest question was not answered well; nil if it was
	DiskErr     error      // why the file was not read or not written; nil if it was
}

// Status returns what is known of each platform that was asked for, in order of their names.
func (c *Cache) Status() []Entry {
	var all []Entry
	for _, s := range c.larder.Status() {
		e := Entry{Platform: s.Key, FetchedAt: s.FetchedAt, NextRefresh: s.NextRefresh, Err: s.Err, DiskErr: s.DiskErr}
		if s.Judged != nil {
			e.Window, e.Issued = s.Judged.Window(), s.Judged.CRL.ThisUpdate
		}
		all = append(all, e)
	}
	return all
}

// kind is what a cache keeps.
type kind struct {
	source Source
	root   *x509.Certificate
}

func (k *kind) Ask(ctx context.Context, p Platform) (*Collateral, error) {
	return k.source.Collateral(ctx, p)
}

// Judge verifies collateral at the instant, believing nothing of where it came from.
func (k *kind) Judge(p Platform, c *Collateral, now time.Time) (*Chain, error) {
	ch, err := c.Verify(k.root)
	if err != nil {
		return nil, err
	}
	switch {
	case ch.CRL == nil:
		return nil, errors.New("the revocation list is missing")
	case ch.Leaf == nil && p.Served():
		return nil, errors.New("the VCEK certificate is missing")
	}
	if err := ch.Valid(now); err != nil {
		return nil, err
	}
	return ch, ch.About(p)
}

func (k *kind) Window(ch *Chain) (notBefore, notAfter time.Time) {
	w := ch.Window()
	return w.NotBefore, w.NotAfter
}

// NotOlder refuses a revocation list of before the one that is held, so that who replays can't take a revocation back.
func (k *kind) NotOlder(ch, held *Chain) error {
	if ch.CRL.ThisUpdate.Before(held.CRL.ThisUpdate) {
		return fmt.Errorf("revocation list: got one of %s, want none before %s, which was seen before", stamp(ch.CRL.ThisUpdate), stamp(held.CRL.ThisUpdate))
	}
	return nil
}

func (k *kind) RetryAfter(err error) time.Duration {
	if e := new(Error); errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// Name is such as milan-vcek-3ac3fe….json, of checked words and hex digits alone.
func (k *kind) Name(p Platform) string {
	product := strings.ToLower(cmp.Or(p.Product, "any"))
	return fmt.Sprintf("%s-%s-%x-%016x.json", product, p.SignedBy, p.ChipID, p.TCB)
}

func (k *kind) Marshal(c *Collateral) []byte { return c.Marshal() }

func (k *kind) Parse(data []byte) (*Collateral, error) { return ParseCollateral(data) }
