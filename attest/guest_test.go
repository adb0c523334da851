package attest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest"
)

// The host chooses the attributes of a guest, and by some of them it has the guest's memory.
func TestGuestAttributes(t *testing.T) {
	for attributes, test := range map[string]struct {
		build string
		want  string // refused keys
	}{
		"0000001000000000": {"", ""},
		"0000003000000000": {"", "builds[0].td_attributes"},
		"0000002000000000": {"debug: true", "builds[0].td_attributes"},
		"":                 {"", "builds[0].td_attributes"}, // which no genuine report leaves out
		"0000003000000001": {`td_attributes: "0000003000000001"`, ""},
	} {
		t.Run(attributes+" "+test.build, func(t *testing.T) {
			p := made(attest.ParsePolicy([]byte("builds:\n- tee: tdx\n  mrtd: " + hex48 + "\n  " + test.build)))
			r := newTEE().report
			r.TEE, r.Measurements = "tdx", map[string][]byte{"mrtd": unhex(hex48), "td_attributes": unhex(attributes)}
			if attributes == "" {
				delete(r.Measurements, "td_attributes")
			}
			var keys []string
			var refused *attest.RefusalError
			if errors.As(p.Check(&r, &attest.Binding{Scheme: attest.DICE}), &refused) {
				for _, refusal := range refused.Refusals {
					keys = append(keys, refusal.Key)
				}
			}
			if got := strings.Join(keys, " "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
