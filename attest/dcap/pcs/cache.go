package pcs

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/internal/larder"
)

// How a cache asks. Package internal/larder has the rest of its discipline.
const (
	DefaultRefresh      = 24 * time.Hour // Intel reissues its documents daily, and may raise their evaluation number on any day
	DefaultMaxPlatforms = 256            // Intel has made some hundred families of platforms
)

// CacheConfig configures a [Cache].
type CacheConfig struct {
	Source       dcap.Source       // where collateral comes from, mostly a *Client; required
	Root         *x509.Certificate // the trust anchor; nil means the Intel SGX Root CA
	Dir          string            // keeps a file for each platform; made if it is missing; empty: memory only
	Refresh      time.Duration     // collateral of this age is asked for anew; 0 means 24 hours
	MaxPlatforms int               // that are held at once; 0 means 256
	Now          func() time.Time  // nil means time.Now
}

// Cache is a [dcap.Source] that keeps what another source has. What it returns
// was verified as a quote's collateral is, is about the platform asked for, is
// valid now, and is in no document older than what it returned before. It may be used by many goroutines at once.
type Cache struct {
	larder *larder.Cache[dcap.Platform, dcap.Collateral, dcap.Judged]
}

// NewCache returns an empty cache. It reads and asks nothing yet. A directory
// that can't be used is no error, for memory does without: [Cache.Err] has it.
func NewCache(c CacheConfig) (*Cache, error) {
	switch {
	case c.Source == nil:
		return nil, errors.New("pcs: cache: no source is given")
	case c.Refresh < 0 || c.MaxPlatforms < 0:
		return nil, errors.New("pcs: cache: got a negative Refresh or MaxPlatforms")
	}
	return &Cache{larder.New(&kind{c.Source, dcap.Verifier{Root: c.Root}}, larder.Config{
		Refresh: cmp.Or(c.Refresh, DefaultRefresh),
		Max:     cmp.Or(c.MaxPlatforms, DefaultMaxPlatforms),
		Dir:     c.Dir, MaxFile: maxFile, Missing: dcap.ErrNoCollateral, Now: c.Now,
	})}, nil
}

// Collateral implements [dcap.Source]. It waits only if there is nothing valid
// at hand, and then as long as ctx allows, while the question goes on for others. What it
// returns is shared: do not modify it.
func (c *Cache) Collateral(ctx context.Context, p dcap.Platform) (*dcap.Collateral, error) {
	if err := checkPlatform(p); err != nil {
		return nil, err
	}
	return c.larder.Get(ctx, p)
}

// Refresh asks for the collateral of every platform that is due, and of those with nothing
// valid, and waits until all answers are in or ctx ends. A program that
// verifies rarely may call it now and then, so that no verification has to wait.
func (c *Cache) Refresh(ctx context.Context) { c.larder.Refresh(ctx) }

// Err returns what is wrong at the moment: why the newest questions about any platform were not
// answered well, and why the directory can't be used; nil while all is well.
func (c *Cache) Err() error { return c.larder.Err() }

// Entry is what a cache knows of one platform.
type Entry struct {
	Platform         dcap.Platform
	Window           tee.Window // when the collateral is valid; zero if there never was any
	EvaluationNumber uint32     // tcbEvaluationDataNumber, the smaller one of both documents
	Issued           time.Time  // issueDate of the TCB info
	FetchedAt        time.Time  // when the source had it; zero if that can't be told
	NextRefresh      time.Time  // the next question is at the first use from this instant on
	Err              error      // why the newest question was not answered well; nil if it was
	DiskErr          error      // why the file was not read or not written; nil if it was
}

// Status returns what is known of each platform that was asked for, in order of their names.
func (c *Cache) Status() []Entry {
	var all []Entry
	for _, s := range c.larder.Status() {
		e := Entry{Platform: s.Key, FetchedAt: s.FetchedAt, NextRefresh: s.NextRefresh, Err: s.Err, DiskErr: s.DiskErr}
		if j := s.Judged; j != nil {
			e.Window, e.EvaluationNumber, e.Issued = j.Window, j.EvaluationNumber, j.Issued
		}
		all = append(all, e)
	}
	return all
}
