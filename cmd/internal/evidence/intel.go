package evidence

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/dcap/pcs"
)

// intel is a [dcap.Source]: what a collateral service has, as package pcs keeps and verifies it, then what the file has.
type intel struct {
	cache *pcs.Cache       // nil: no service
	file  *dcap.Collateral // nil: no file

	path string // of the file
	root *x509.Certificate
	now  func() time.Time
}

func (s Source) openIntel(file *dcap.Collateral, root *x509.Certificate) (*intel, error) {
	c := &intel{file: file, path: s.File, root: root, now: s.clock()}
	if s.PCS == "" {
		return c, nil
	}
	client, _, err := s.pcsClient()
	if err != nil {
		return nil, err
	}
	if c.cache, err = pcs.NewCache(pcs.CacheConfig{Source: client, Root: root, Dir: s.Cache, Now: s.Now}); err != nil {
		return nil, fmt.Errorf("collateral cache: %w", err)
	}
	return c, nil
}

// pcsClient returns what asks the collateral service.
func (s Source) pcsClient() (*pcs.Client, []string, error) {
	o := pcs.Options{Update: s.Update}
	var err error
	if s.APIKeyFile != "" {
		if o.APIKey, err = readKey(s.APIKeyFile); err != nil {
			return nil, nil, err
		}
	}
	if o.HTTP, err = s.http(); err != nil {
		return nil, nil, err
	}
	c, warnings, err := pcs.Open(s.PCS, o)
	if err == nil && s.CA != "" { // which a use_secure_cert of false does not turn off
		c.HTTP, warnings = o.HTTP, nil
	}
	return c, warnings, err
}

// Collateral returns collateral of the platform. What comes from the service
// was verified and is about p; what comes from the file is as it is, for the verifier to judge.
func (c *intel) Collateral(ctx context.Context, p dcap.Platform) (*dcap.Collateral, error) {
	if c.cache == nil {
		return c.file, nil
	}
	got, err := c.cache.Collateral(ctx, p)
	if err == nil || c.file == nil {
		return got, err
	}
	if useless := c.fits(p); useless != nil {
		return nil, fmt.Errorf("%w; and %w", err, useless)
	}
	return c.file, nil
}

// fits tells why the file does not serve in the place of the service, so that the error has both reasons.
func (c *intel) fits(p dcap.Platform) error {
	judged, err := (&dcap.Verifier{Root: c.root}).Inspect(c.file, c.now())
	if err == nil && judged.Platform != p {
		err = fmt.Errorf("it is about the platform %v", judged.Platform)
	}
	if err != nil {
		return fmt.Errorf("collateral %s: %w", c.path, err)
	}
	return nil
}

func (c *intel) err() error {
	if c == nil || c.cache == nil {
		return nil
	}
	return c.cache.Err()
}

func (c *intel) status() []Entry {
	if c == nil || c.cache == nil {
		return nil
	}
	var all []Entry
	for _, e := range c.cache.Status() {
		all = append(all, Entry{e.Platform.String(), e.Err, e.DiskErr})
	}
	return all
}
