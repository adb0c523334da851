package evidence

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/dcap/pcs"
	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/internal/roots"
)

// Collateral is an opened [Source], and a [dcap.Source] itself: what a
// collateral service has, as package pcs keeps and verifies it, then what the file has.
type Collateral struct {
	cache *pcs.Cache       // nil: no service
	file  *dcap.Collateral // nil: no file

	path string // of the file
	root *x509.Certificate
	now  func() time.Time
}

// Open reads the files and returns the collateral that they lead to; nil if
// the source names nothing. Nothing is fetched yet. A nil root means Intel's.
func (s Source) Open(root *x509.Certificate) (*Collateral, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if s.Empty() {
		return nil, nil
	}
	c := &Collateral{path: s.File, root: root, now: s.Now}
	if c.now == nil {
		c.now = time.Now
	}
	if s.PCS != "" {
		client, _, err := s.client()
		if err != nil {
			return nil, err
		}
		if c.cache, err = pcs.NewCache(pcs.CacheConfig{Source: client, Root: root, Dir: s.Cache, Now: s.Now}); err != nil {
			return nil, fmt.Errorf("collateral cache: %w", err)
		}
	}
	if s.File != "" {
		var err error
		if c.file, err = ReadCollateral(s.File); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Warnings reads the files and says what an operator should know of what they
// say, such as that the certificate of a service is not checked.
func (s Source) Warnings() ([]string, error) {
	if err := s.Validate(); err != nil || s.PCS == "" {
		return nil, err
	}
	_, warnings, err := s.client()
	return warnings, err
}

// client returns what asks the collateral service.
func (s Source) client() (*pcs.Client, []string, error) {
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

// http trusts the CAs of the file, else those that come with the program: the
// host's own are the host's.
func (s Source) http() (*http.Client, error) {
	if s.CA == "" {
		return fetch.Client(roots.Bundled()), nil
	}
	data, err := fetch.File(s.CA, maxFile)
	if err != nil {
		return nil, fmt.Errorf("ca_path: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("ca_path: %s: got no certificate, want PEM blocks of CERTIFICATE", s.CA)
	}
	return fetch.Client(pool), nil
}

// Collateral returns collateral of the platform. What comes from the service
// was verified and is about p; what comes from the file is as it is, for the verifier to judge.
func (c *Collateral) Collateral(ctx context.Context, p dcap.Platform) (*dcap.Collateral, error) {
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
func (c *Collateral) fits(p dcap.Platform) error {
	judged, err := (&dcap.Verifier{Root: c.root}).Inspect(c.file, c.now())
	if err == nil && judged.Platform != p {
		err = fmt.Errorf("it is about the platform %v", judged.Platform)
	}
	if err != nil {
		return fmt.Errorf("collateral %s: %w", c.path, err)
	}
	return nil
}

// Err says what is wrong with the collateral service or the cache's
// directory; nil while all is well, nothing was asked, or there is none.
func (c *Collateral) Err() error {
	if c == nil || c.cache == nil {
		return nil
	}
	return c.cache.Err()
}

// Status is what the cache knows of each platform that was asked for; nil without a service.
func (c *Collateral) Status() []pcs.Entry {
	if c == nil || c.cache == nil {
		return nil
	}
	return c.cache.Status()
}

// Source is c, or nil: a nil *Collateral in the interface would not be a nil Source.
func (c *Collateral) Source() dcap.Source {
	if c == nil {
		return nil
	}
	return c
}
