package evidence

import (
	"strings"

	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// String tells in words where the collateral comes from, in the order in which it is asked
// for; "nowhere" if the source names nothing.
func (s Source) String() string {
	var places []string
	if service := s.services(); service != "" {
		places = append(places, service)
	}
	if s.File != "" {
		places = append(places, "the file "+s.File)
	}
	if len(places) == 0 {
		return "nowhere"
	}
	return strings.Join(places, ", then ")
}

// services tells of the collateral services; "" if none is named. What is in a URL beside its address may be secret.
func (s Source) services() string {
	var all []string
	if s.PCS != "" {
		all = append(all, s.intelService())
	}
	if s.KDS != "" {
		all = append(all, s.amdService())
	}
	words := strings.Join(all, " and ")
	if words == "" {
		return ""
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

func (s Source) intelService() string {
	words := "Intel's collateral service"
	if strings.Contains(s.PCS, "://") {
		words = "the collateral service at " + fetch.Redact(s.PCS)
	} else if path := s.qcnl(); path != "" {
		words = "the collateral service that " + path + " names"
	}
	if s.Update == Early {
		words += " (update channel early)"
	}
	return words
}

func (s Source) amdService() string {
	if s.KDS == AMD {
		return "AMD's key distribution service"
	}
	return "the key distribution service at " + fetch.Redact(s.KDS)
}
