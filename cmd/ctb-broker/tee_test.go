package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/gramine"
	"github.com/confidential-token-broker/ctb/attest/nsm"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/attest/tsm"
)

func TestAutoTakesWhatIsThere(t *testing.T) {
	for name, c := range map[string]struct {
		with    func(machine)
		tee     string
		what    string
		besides []string // each says …
	}{
		"Gramine": {func(m machine) { m.gramine("dcap") }, teeGramine, "an SGX enclave under Gramine (", nil},
		"TDX":     {func(m machine) { m.tsm("tdx_guest") }, teeTDX, "a TDX guest (/sys/kernel/config/tsm/report, provider tdx_guest)", nil},
		"SEV-SNP": {func(m machine) { m.tsm("sev_guest") }, teeSEVSNP, "an SEV-SNP guest (/sys/kernel/config/tsm/report, provider sev_guest)", nil},
		"Nitro":   {func(m machine) { m.nsm() }, teeNitro, "a Nitro Enclave (/dev/nsm, module \"" + module + "\")", nil},
		"all of them": {func(m machine) { m.nsm(); m.tsm("sev_guest"); m.gramine("dcap") }, teeGramine, "an SGX enclave", []string{
			"there is also an SEV-SNP guest (/sys/kernel/config/tsm/report, provider sev_guest), which is not used; tee: sev-snp would use it",
			"there is also a Nitro Enclave (/dev/nsm, module \"" + module + "\"), which is not used; tee: nitro would use it"}},
		"a guest with a device of its host's": {func(m machine) { m.nsm(); m.tsm("tdx_guest") }, teeTDX, "a TDX guest", []string{"tee: nitro would use it"}},
		"an enclave without attestation in a guest": {func(m machine) { m.gramine("none"); m.tsm("tdx_guest") }, teeTDX, "a TDX guest", []string{
			`attestation_type: got "none": remote attestation is off; set sgx.remote_attestation = "dcap" in the manifest`}},
		"a guest of no known kind beside an enclave": {func(m machine) { m.gramine("dcap"); m.tsm("arm_cca_guest") }, teeGramine, "an SGX enclave", []string{
			`it is there in part, and not used: tdx, sev-snp (/sys/kernel/config/tsm/report): configfs-tsm: the provider here is "arm_cca_guest"`}},
		"a file in the device's place": {func(m machine) { m.tsm("tdx_guest"); m.put("dev/nsm", "") }, teeTDX, "a TDX guest", []string{
			"it is there in part, and not used: nitro (/dev/nsm): nsm: ioctl: inappropriate ioctl for device: the device is no Nitro security module"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			c.with(m)
			h, err := m.places().auto(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if h.tee != c.tee || !strings.HasPrefix(h.what, c.what) || h.root != nil || len(h.besides) != len(c.besides) {
				t.Fatalf("got %s: %s, besides %q", h.tee, h.what, h.besides)
			}
			for i, says := range c.besides {
				if !strings.Contains(h.besides[i], says) {
					t.Errorf("got %s, want … %s", h.besides[i], says)
				}
			}
			switch q := h.Quoter.(type) {
			case *gramine.Quoter:
				if c.tee != teeGramine || q.Dir != m.path("dev/attestation") {
					t.Errorf("got a quoter of %s", q.Dir)
				}
			case *tsm.Quoter:
				if c.tee != teeTDX && c.tee != teeSEVSNP {
					t.Errorf("got a quoter of configfs-tsm")
				}
			case *nsm.Quoter:
				if c.tee != teeNitro {
					t.Errorf("got a quoter of the NSM")
				}
			}
			entries, err := os.ReadDir(m.path(pathTSM))
			if len(entries) != 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it left the entries %v, %v", entries, err)
			}
		})
	}
}

// Where there is nothing, or not enough, each path is told with its reason; simulated hardware is never taken, but named.
func TestAutoFindsNothing(t *testing.T) {
	withSimulated(t)
	for name, c := range map[string]struct {
		with func(machine)
		says []string
	}{
		"nothing at all": {func(machine) {}, []string{
			"  gramine (", "dev/attestation/attestation_type: no such file", "  tdx, sev-snp (/sys/kernel/config/tsm/report): ", "  nitro (/dev/nsm): ", "dev/nsm: no such file"}},
		"configfs without tsm": {func(m machine) { m.put("sys/kernel/config/", "") }, []string{"want Linux 6.7 or later", "of the path, there is ", "/sys/kernel/config\n"}},
		"tsm without reports":  {func(m machine) { m.put("sys/kernel/config/tsm/", "") }, []string{"of the path, there is ", "/sys/kernel/config/tsm\n"}},
		"another provider":     {func(m machine) { m.tsm("arm_cca_guest") }, []string{`the provider here is "arm_cca_guest", want "tdx_guest" or "sev_guest"`}},
		"Gramine without SGX":  {func(m machine) { m.put("dev/attestation/keys/", "") }, []string{"gramine-direct"}},
		"EPID":                 {func(m machine) { m.gramine("epid") }, []string{`got "epid", whose service Intel has ended`}},
		"a file as the device": {func(m machine) { m.put("dev/nsm", "") }, []string{"nitro (/dev/nsm): nsm: ioctl: ", "no Nitro security module"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			c.with(m)
			h, err := m.places().auto(t.Context())
			if err == nil {
				t.Fatalf("got %s", h.what)
			}
			always := []string{"no hardware here gives evidence; looked for\n", "(" + m.dir + "/dev/attestation): ", "is taken only by its name, tee: simulated"}
			for _, says := range append(c.says, always...) {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("got %v\nwant … %s", err, says)
				}
			}
		})
	}
}

// Hardware that is named is that or an error.
func TestNamedHardware(t *testing.T) {
	for name, c := range map[string]struct {
		with func(machine)
		look func(places) look
		says string // the error, or that of the hardware
		bad  bool
	}{
		"gramine":             {func(m machine) { m.gramine("dcap") }, func(p places) look { return p.gramine }, "an SGX enclave", false},
		"tdx":                 {func(m machine) { m.tsm("tdx_guest") }, func(p places) look { return p.tdx }, "a TDX guest", false},
		"sev-snp":             {func(m machine) { m.tsm("sev_guest") }, func(p places) look { return p.sevSNP }, "an SEV-SNP guest", false},
		"nitro":               {func(m machine) { m.nsm() }, func(p places) look { return p.nitro }, "module \"" + module + "\"", false},
		"tdx on sev-snp":      {func(m machine) { m.tsm("sev_guest") }, func(p places) look { return p.tdx }, `the provider here is "sev_guest", want "tdx_guest"`, true},
		"sev-snp on tdx":      {func(m machine) { m.tsm("tdx_guest") }, func(p places) look { return p.sevSNP }, `the provider here is "tdx_guest", want "sev_guest"`, true},
		"gramine without it":  {func(m machine) { m.tsm("tdx_guest") }, func(p places) look { return p.gramine }, "attestation_type: no such file", true},
		"nitro without it":    {func(m machine) { m.gramine("dcap") }, func(p places) look { return p.nitro }, "dev/nsm: no such file", true},
		"tdx with no configs": {func(m machine) { m.nsm() }, func(p places) look { return p.tdx }, "want Linux 6.7 or later", true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			c.with(m)
			h, err := named(t.Context(), c.look(m.places()))
			switch {
			case c.bad && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("got %v, want … %s", err, c.says)
			case !c.bad && (err != nil || !strings.Contains(h.what, c.says) || h.Quoter == nil || len(h.besides) != 0):
				t.Errorf("got %+v, %v", h, err)
			}
		})
	}
}

// A kernel that takes its time does not keep the broker from starting: it says so, and asks again for evidence.
func TestNamedHardwareThatDoesNotAnswer(t *testing.T) {
	m := newMachine(t)
	m.put("dev/attestation/", "")
	kind := m.path("dev/attestation/attestation_type")
	if err := syscall.Mkfifo(kind, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	h, err := named(ctx, m.places().gramine)
	if err != nil || h.Quoter == nil || len(h.besides) != 1 || !strings.Contains(h.besides[0], "it does not answer, and will be asked again: gramine: ") {
		t.Fatalf("got %+v, %v", h, err)
	}
	var log strings.Builder
	h.tell(slog.New(slog.NewTextHandler(&log, nil)))
	for _, says := range []string{"level=INFO msg=\"evidence comes from an SGX enclave under Gramine (", "tee=gramine", "level=WARN msg=\"it does not answer"} {
		if !strings.Contains(log.String(), says) {
			t.Errorf("no %q in\n%s", says, log.String())
		}
	}
	// Whoever still reads gets an end.
	w, err := os.OpenFile(kind, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
}

// -check tells what there is, line by line below the name.
func TestFoundWords(t *testing.T) {
	m := newMachine(t)
	if words := foundWords(m.places().auto(t.Context())); !strings.HasPrefix(words, "not here, where the broker would not start:\n               no hardware here") ||
		strings.Count(words, "\n               ") != 5 {
		t.Errorf("got %s", words)
	}
	m.tsm("tdx_guest")
	m.nsm()
	if words := foundWords(m.places().auto(t.Context())); !strings.HasPrefix(words, "a TDX guest (/sys/kernel/config/tsm/report, provider tdx_guest)\n               there is also a Nitro Enclave") {
		t.Errorf("got %s", words)
	}
}

// Every value of tee but simulated is in every build, and each is known by its name.
func TestTEEsOfThisBuild(t *testing.T) {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(quoters)), func(name string) bool { return name == teeSimulated })
	if want := []string{teeAuto, teeGramine, teeNitro, teeSEVSNP, teeTDX}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	kept, had := quoters[teeSimulated]
	delete(quoters, teeSimulated)
	if had {
		t.Cleanup(func() { quoters[teeSimulated] = kept })
	}
	_, err := loadConfig(write(t, "broker.yaml", goodConfig))
	if err == nil || !strings.Contains(err.Error(), `:3:6: tee: this build cannot get evidence from "simulated": it has auto, gramine, nitro, sev-snp, tdx; simulated is in builds with the tag "simulated"`) {
		t.Errorf("got %v", err)
	}
}

// What a checker gets of the hardware that was found is evidence that it can verify, bound to the key.
func TestEvidenceOfWhatWasFound(t *testing.T) {
	m := newMachine(t)
	m.tsm("tdx_guest")
	m.guest, _ = hardwareOf(t, simulated.Config{TEE: "tdx"})
	h, err := m.places().auto(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	cert, err := attest.Certify(t.Context(), h, key, attest.Binding{
		Use: attest.UseSignature, Issuer: "https://broker.example.com", Issued: now.Add(-time.Minute), Expires: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	verifier := &dcap.Verifier{Root: m.guest.Root(), Collateral: m.guest.Collateral()}
	judged, err := attest.Appraise(t.Context(), cert, attest.DICE, []attest.Verifier{verifier}, now, now)
	if err != nil || judged.Report.TEE != h.tee || judged.Binding.Issuer != "https://broker.example.com" {
		t.Errorf("got %+v, %v", judged, err)
	}
}
