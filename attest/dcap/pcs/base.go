package pcs

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/confidential-token-broker/ctb/internal/fetch"
)

const (
	intelURL = "https://api.trustedservices.intel.com/sgx/certification/v4/"
	// intelRootCRL is the CRL distribution point of Intel's root certificate: Intel's PCS itself does not serve this list.
	intelRootCRL = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
)

// base is a base URL taken apart.
type base struct {
	root    string // up to the path segment "sgx" or "tdx", with a slash at its end
	version int    // 3 or 4
	intel   bool   // it is Intel's own service, and no PCCS
}

// certification is the part of a path that PCS and PCCS have in common.
var certification = regexp.MustCompile(`^(.*)/(?:sgx|tdx)/certification(?:/v([0-9]{1,3}))?$`)

// parseBase reads the base URL of a service, of which a host alone is enough.
func parseBase(raw string) (*base, error) {
	if raw == "" {
		raw = intelURL
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("base URL: it is not a URL")
	}
	if !fetch.Private(u) || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return nil, fmt.Errorf("base URL %s: want an https URL (http is for loopback addresses) without user, query and fragment, such as %s",
			fetch.Redact(raw), intelURL)
	}
	b := &base{version: 4, intel: u.Hostname() == "api.trustedservices.intel.com"}
	prefix := strings.TrimRight(u.Path, "/")
	if m := certification.FindStringSubmatch(prefix); m != nil {
		prefix = m[1]
		switch m[2] {
		case "", "4":
		case "3":
			b.version = 3
		default:
			return nil, fmt.Errorf("base URL %s: got the API version %s, want 3 or 4", fetch.Redact(raw), m[2])
		}
	}
	b.root = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: prefix + "/"}).String()
	return b, nil
}

// at returns the URL of a document. The TEE is "sgx" or "tdx".
func (b *base) at(tee, document string, query url.Values) string {
	target := fmt.Sprintf("%s%s/certification/v%d/%s", b.root, tee, b.version, document)
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	return target
}
