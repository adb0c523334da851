package evidence

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/internal/roots"
)

// Collateral is an opened [Source]: for each hardware maker what its service
// has, kept and verified, then what the file has. A nil one has nothing.
type Collateral struct {
	intel *intel // nil: nothing of Intel's
	amd   *amd   // nil: nothing of AMD's
}

// Open reads the files and returns the collateral that they lead to; nil if
// the source names nothing. Nothing is fetched yet. A nil root means the hardware makers' own.
func (s Source) Open(root *x509.Certificate) (*Collateral, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if s.Empty() {
		return nil, nil
	}
	file := new(File)
	if s.File != "" {
		var err error
		if file, err = ReadCollateral(s.File); err != nil {
			return nil, err
		}
	}
	c := new(Collateral)
	var err error
	if s.PCS != "" || file.DCAP != nil {
		if c.intel, err = s.openIntel(file.DCAP, root); err != nil {
			return nil, err
		}
	}
	if s.KDS != "" || file.SNP != nil {
		if c.amd, err = s.openAMD(file.SNP, root); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// DCAP is where collateral of Intel SGX and TDX comes from; nil if from nowhere.
func (c *Collateral) DCAP() dcap.Source {
	if c == nil || c.intel == nil {
		return nil // a nil *intel in the interface would not be a nil Source
	}
	return c.intel
}

// SNP is where collateral of AMD SEV-SNP comes from; nil if from nowhere.
func (c *Collateral) SNP() kds.Source {
	if c == nil || c.amd == nil {
		return nil
	}
	return c.amd
}

// Err says what is wrong with the collateral services or the cache's
// directory; nil while all is well, nothing was asked, or there is none.
func (c *Collateral) Err() error {
	if c == nil {
		return nil
	}
	return errors.Join(c.intel.err(), c.amd.err())
}

// Status is what is known of each platform that a service was asked for; nil without a service.
func (c *Collateral) Status() []Entry {
	if c == nil {
		return nil
	}
	return append(c.intel.entries(), c.amd.entries()...)
}

// Entry is one platform that a collateral service was asked for.
type Entry struct {
	Platform string // in words
	Err      error  // what is wrong with the service
	DiskErr  error  // what is wrong with the cache's directory
}

// aboutFile says of which file an error is.
func (s Source) aboutFile(err error) error {
	if err != nil {
		return fmt.Errorf("collateral %s: %w", s.File, err)
	}
	return nil
}

func (s Source) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// Warnings reads the files and says what an operator should know of what they
// say, such as that the certificate of a service is not checked.
func (s Source) Warnings() ([]string, error) {
	if err := s.Validate(); err != nil || s.PCS == "" {
		return nil, err
	}
	_, warnings, err := s.pcsClient()
	return warnings, err
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
