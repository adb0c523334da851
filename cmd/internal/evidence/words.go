package evidence

import (
	"strings"

	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// String tells in words where the collateral comes from, in the order in which it is asked
// for; "nowhere" if the source names nothing.
func (s Source) String() string {
	var places []string
	if s.PCS != "" {
		places = append(places, s.service())
	}
	if s.File != "" {
		places = append(places, "the file "+s.File)
	}
	if len(places) == 0 {
		return "nowhere"
	}
	return strings.Join(places, ", then ")
}

// service tells of the collateral service. What is in a URL beside its address may be secret.
func (s Source) service() string {
	words := "Intel's collateral service"
	if strings.Contains(s.PCS, "://") {
		words = "the collateral service at " + fetch.Redact(s.PCS)
	} else if path := s.qcnl(); path != "" {
		words = "the collateral service that " + path + " names"
	}
	if s.Update == Early {
		words += " (update channel early)"
	}
	if s.CA != "" {
		words += ", known by " + s.CA
	}
	if s.APIKeyFile != "" {
		words += ", with the API key in " + s.APIKeyFile
	}
	if s.Cache != "" {
		words += ", kept in " + s.Cache
	}
	return words
}
