package evidence

import (
	"context"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"time"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
)

// amd is a [kds.Source]: what AMD's service has, as package kds keeps and verifies it, then what the file has.
type amd struct {
	cache *kds.Cache      // nil: no service
	file  *kds.Collateral // nil: no file

	path string // of the file
	root *x509.Certificate
	now  func() time.Time
}

// kdsFolder is where the cache's directory keeps AMD's collateral, beside Intel's.
const kdsFolder = "kds"

func (s Source) openAMD(file *kds.Collateral, root *x509.Certificate) (*amd, error) {
	c := &amd{file: file, path: s.File, root: root, now: s.clock()}
	if s.KDS == "" {
		return c, nil
	}
	web, err := s.http()
	if err != nil {
		return nil, err
	}
	client, err := kds.Open(s.KDS, web)
	if err != nil {
		return nil, &KeyError{"kds", err}
	}
	conf := kds.CacheConfig{Source: client, Root: root, Now: s.Now}
	if s.Cache != "" {
		conf.Dir = filepath.Join(s.Cache, kdsFolder)
	}
	if c.cache, err = kds.NewCache(conf); err != nil {
		return nil, fmt.Errorf("collateral cache: %w", err)
	}
	return c, nil
}

// Collateral returns collateral of the platform. What comes from the service
// was verified and is about p; what comes from the file is as it is, for the verifier to judge.
func (c *amd) Collateral(ctx context.Context, p kds.Platform) (*kds.Collateral, error) {
	if c.cache == nil {
		return c.file, nil
	}
	got, err := c.cache.Collateral(ctx, p)
	if err == nil || c.file == nil {
		return got, err
	}
	if useless := c.fits(p); useless != nil {
		return nil, fmt.Errorf("%w; and collateral %s: %w", err, c.path, useless)
	}
	return c.file, nil
}

// fits tells why the file does not serve in the place of the service, so that the error has both reasons.
func (c *amd) fits(p kds.Platform) error {
	chain, err := c.file.Verify(c.root)
	if err != nil {
		return err
	}
	if err := chain.Valid(c.now()); err != nil {
		return err
	}
	return chain.About(p)
}

func (c *amd) err() error {
	if c == nil || c.cache == nil {
		return nil
	}
	return c.cache.Err()
}

func (c *amd) status() []Entry {
	if c == nil || c.cache == nil {
		return nil
	}
	var all []Entry
	for _, e := range c.cache.Status() {
		all = append(all, Entry{e.Platform.String(), e.Err, e.DiskErr})
	}
	return all
}
