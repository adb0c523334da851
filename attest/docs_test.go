package attest_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest"
)

// Every policy in docs/policy.md is valid, and without a warning unless it leaves out what the page says that it
// does; or the text block that follows is what is said about it.
func TestTheReferenceIsAccurate(t *testing.T) {
	reference := string(made(os.ReadFile("../docs/policy.md")))
	policies := 0
	for rest := reference; ; policies++ {
		var policy, want string
		var ok bool
		if _, rest, ok = strings.Cut(rest, "\n```yaml\n"); !ok {
			break
		}
		policy, rest, _ = strings.Cut(rest, "```\n")
		if text, ok := strings.CutPrefix(rest, "\n```text\n"); ok {
			want, rest, _ = strings.Cut(text, "\n```\n")
		}
		if got := saidOf(policy); got != want {
			t.Errorf("of %s\n got %s\nwant %s", policy, got, want)
		}
	}
	if policies < 9 {
		t.Errorf("found %d policies, want 9 or more", policies)
	}
}

// saidOf is what a person is told of a policy, but for the evaluation number and the rules, which examples are too short for.
func saidOf(policy string) string {
	p, err := attest.ParsePolicy([]byte(policy))
	if err != nil {
		return err.Error()
	}
	return strings.Join(slices.DeleteFunc(p.Warnings(day(10)), func(w string) bool {
		return strings.HasPrefix(w, "tcb.evaluation_number: ") || strings.HasPrefix(w, "rules: ")
	}), "\n")
}

// Every key that a policy can have is in the reference, in the section of its TEE, and so is what --accept takes.
func TestTheReferenceIsComplete(t *testing.T) {
	reference := string(made(os.ReadFile("../docs/policy.md")))
	holds := func(text string, names ...string) {
		t.Helper()
		for _, name := range names {
			if !strings.Contains(text, "`"+name+"`") && !strings.Contains(text, "`builds[]."+name+"`") {
				t.Errorf("%s is missing in the reference, or stands elsewhere", name)
			}
		}
	}
	_, refused, _ := strings.Cut(reference, "\n## What is refused")
	holds(refused, attest.Pinnable()...)
	for tee, further := range map[string][]string{
		"sgx": {"isvprodid", "isvsvn", "sample_signer"}, "tdx": nil, "nitro": nil,
		"sev-snp": {"product", "min_tcb", "fmc", "bootloader", "tee", "snp", "microcode", "guest_svn", "vmpl", "unchecked_revocation"},
	} {
		_, section, _ := strings.Cut(reference, "\n### "+tee+"\n")
		section, _, _ = strings.Cut(section, "\n##")
		holds(section, further...)
		for i, name := range attest.Measurements(tee) {
			if tee == "nitro" && !slices.Contains([]int{0, 1, 2, 3, 4, 5, 7, 8, 9, 31}, i) {
				continue // of those that have no meaning the first and the last are named
			}
			holds(section, name)
		}
	}
}
