package evidence

import (
	"crypto/x509"
	"fmt"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/dcap/pcs"
)

type intel = kept[dcap.Platform, dcap.Collateral]

func (s Source) openIntel(file *dcap.Collateral, root *x509.Certificate) (*intel, error) {
	k := &intel{file: file, fits: func(p dcap.Platform) error {
		judged, err := (&dcap.Verifier{Root: root}).Inspect(file, s.now())
		if err == nil && judged.Platform != p {
			err = fmt.Errorf("it is about the platform %v", judged.Platform)
		}
		return s.aboutFile(err)
	}}
	if s.PCS == "" {
		return k, nil
	}
	client, _, err := s.pcsClient()
	if err != nil {
		return nil, err
	}
	cache, err := pcs.NewCache(pcs.CacheConfig{Source: client, Root: root, Dir: s.Cache, Now: s.Now})
	if err != nil {
		return nil, fmt.Errorf("collateral cache: %w", err)
	}
	k.cache = cache
	k.status = func() (all []Entry) {
		for _, e := range cache.Status() {
			all = append(all, Entry{e.Platform.String(), e.Err, e.DiskErr})
		}
		return all
	}
	return k, nil
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
