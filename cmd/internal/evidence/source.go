package evidence

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap/pcs"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
)

// Source names where collateral comes from, for evidence that brings none or
// whose own is refused: each hardware maker's collateral service, then a file. Its zero value names nothing.
//
// As the key "collateral" of a configuration it is a text, which is the file,
// or a mapping:
//
//	collateral:
//	  pcs: intel                 # of SGX and TDX; or qcnl, a base URL, the path of a qcnl.conf
//	  kds: amd                   # of SEV-SNP; or a base URL
//	  update: standard           # or early
//	  api_key_file: pcs.key
//	  ca_path: pccs-ca.pem       # for services that no public CA knows
//	  cache: /var/cache/ctb      # a directory; AMD's collateral is in its folder kds
//	  file: collateral.json      # if the service has none, or can't be asked
type Source struct {
	File       string `yaml:"file" null:"absent"`         // a collateral file, of one platform: Intel's (QuoteCollateralV3) or AMD's (as package kds writes it)
	PCS        string `yaml:"pcs" null:"absent"`          // "intel"; "qcnl", which is /etc/sgx_default_qcnl.conf; an https URL; the path of a qcnl.conf
	KDS        string `yaml:"kds" null:"absent"`          // "amd" or a base URL, https (or http to a loopback address)
	Update     string `yaml:"update" null:"absent"`       // which of Intel's update channels: "standard" (the default) or "early"
	APIKeyFile string `yaml:"api_key_file" null:"absent"` // a file with the service's API key, if it wants one
	CA         string `yaml:"ca_path" null:"absent"`      // the certificates (PEM) that the services must be known by; empty: the public CAs
	Cache      string `yaml:"cache" null:"absent"`        // a directory where collateral outlives the program; empty: in memory alone

	// Now is the clock of the cache; nil means time.Now.
	Now func() time.Time `yaml:"-"`

	empty string // a key that a configuration names without a value
}

// The words of a Source that name no file.
const (
	Intel = "intel" // Intel's own service, https://api.trustedservices.intel.com
	AMD   = "amd"   // AMD's own service, https://kdsintf.amd.com
	QCNL  = "qcnl"  // what [pcs.QCNLPath] names, as for Intel's own libraries

	Standard = "standard" // the update channel that lags by some months, so that machines can be updated first
	Early    = "early"    // the newest judgement
)

// UnmarshalYAML reads the text or the mapping.
func (s *Source) UnmarshalYAML(unmarshal func(any) error) error {
	var file string
	if unmarshal(&file) == nil {
		*s = Source{File: file}
		return nil
	}
	type mapping Source // without this method
	if err := unmarshal((*mapping)(s)); err != nil {
		return err
	}
	given := map[string]string{} // null is empty, too
	if err := unmarshal(&given); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if given[key] == "" {
			s.empty = key
		}
	}
	return nil
}

// Empty tells whether it names nothing.
func (s Source) Empty() bool { return s.File == "" && s.PCS == "" && s.KDS == "" }

// Files are the files that it reads, for whoever watches them. None is empty.
func (s Source) Files() []string {
	var files []string
	for _, f := range []string{s.File, s.APIKeyFile, s.CA, s.qcnl()} {
		if f != "" {
			files = append(files, f)
		}
	}
	return files
}

// Paths are the fields that are paths, for whoever makes them relative to a configuration.
func (s *Source) Paths() []*string {
	paths := []*string{&s.File, &s.APIKeyFile, &s.CA, &s.Cache}
	if s.PCS != QCNL && s.qcnl() != "" {
		paths = append(paths, &s.PCS)
	}
	return paths
}

// qcnl is the path of the qcnl.conf that PCS names, or "".
func (s Source) qcnl() string {
	switch {
	case s.PCS == "" || s.PCS == Intel || strings.Contains(s.PCS, "://"):
		return ""
	case s.PCS == QCNL:
		return pcs.QCNLPath
	}
	return s.PCS
}

// A KeyError says which key of a [Source] is wrong, for whoever knows its line.
type KeyError struct {
	Key string // such as "update"
	Err error
}

func (e *KeyError) Error() string { return e.Key + ": " + e.Err.Error() }
func (e *KeyError) Unwrap() error { return e.Err }

// ErrNoService is what is wrong with a key that is about a collateral service where that is not named.
var ErrNoService = errors.New("it is about a collateral service, which is not named")

// Validate finds what is wrong with the words alone, reading nothing. Its error is a [*KeyError].
func (s Source) Validate() error {
	fault := func(key, format string, args ...any) error {
		return &KeyError{key, fmt.Errorf(format, args...)}
	}
	if s.empty != "" { // as of an unset variable, which must not turn off what the key asks for
		return fault(s.empty, "is empty; give it a value or remove it")
	}
	if s.Update != "" && s.Update != Standard && s.Update != Early {
		return fault("update", "got %q, want %s or %s", s.Update, Standard, Early)
	}
	for _, k := range []struct {
		key, value string
		served     bool
	}{
		{"update", s.Update, s.PCS != ""},
		{"api_key_file", s.APIKeyFile, s.PCS != ""},
		{"ca_path", s.CA, s.PCS != "" || s.KDS != ""},
		{"cache", s.Cache, s.PCS != "" || s.KDS != ""},
	} {
		if k.value != "" && !k.served {
			return &KeyError{k.key, ErrNoService}
		}
	}
	if s.KDS != "" {
		if _, err := kds.Open(s.KDS, nil); err != nil {
			return &KeyError{"kds", err}
		}
	}
	if strings.Contains(s.PCS, "://") {
		u, err := url.Parse(s.PCS)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fault("pcs", "got a URL that can't be, want such as https://pccs.example.com:8081/sgx/certification/v4/")
		}
	}
	return nil
}
