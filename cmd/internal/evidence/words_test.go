package evidence_test

import (
	"testing"

	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

func TestSourceInWords(t *testing.T) {
	for want, s := range map[string]evidence.Source{
		"nowhere":                    {},
		"the file c.json":            {File: "c.json"},
		"Intel's collateral service": {PCS: evidence.Intel, Update: evidence.Standard},
		"Intel's collateral service (update channel early), with the API key in pcs.key, kept in cache.d, then the file c.json": {
			PCS: evidence.Intel, Update: evidence.Early, APIKeyFile: "pcs.key", Cache: "cache.d", File: "c.json"},
		"the collateral service that /etc/sgx_default_qcnl.conf names":      {PCS: evidence.QCNL},
		"the collateral service that conf/qcnl.conf names, known by ca.pem": {PCS: "conf/qcnl.conf", CA: "ca.pem"},
		"the collateral service at https://pccs.example.com:8081/sgx/v4/":   {PCS: "https://user:secret@pccs.example.com:8081/sgx/v4/?key=secret"},
		"AMD's key distribution service":                                    {KDS: evidence.AMD},
		"Intel's collateral service and AMD's key distribution service, known by ca.pem, kept in cache.d, then the file c.json": {
			PCS: evidence.Intel, KDS: evidence.AMD, CA: "ca.pem", Cache: "cache.d", File: "c.json"},
		"the key distribution service at https://kds.example.com/x": {KDS: "https://user:secret@kds.example.com/x?key=secret"},
	} {
		if got := s.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
