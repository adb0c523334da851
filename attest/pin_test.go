package attest_test

import (
	"bytes"
	"encoding/hex"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

var acceptAll = attest.Pinnable()

// seen returns evidence that is fine in every way, and its binding.
func seen() (*attest.Report, *attest.Binding) {
	r, b := newTEE().report, binding()
	r.At, r.FMSPC, r.PCKCA, b.Scheme = day(3), "00606a000000", "platform", attest.DICE
	return &r, &b
}

// What is pinned from evidence accepts this evidence, on every simulated platform
// that could be accepted, and tells what an operator must decide first.
func TestPinSimulatedVariants(t *testing.T) {
	for _, v := range simulated.Variants() {
		if !v.Genuine {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			hardware, verifiers := machine(t, v.Config)
			e := made(hardware.Quote(t.Context(), [64]byte{}))
			r := made(verifiers[0].Verify(t.Context(), e, day(1)))
			holdsPin(t, r)
		})
	}
}

// The same of genuine evidence.
func TestPinGenuine(t *testing.T) {
	for name, at := range map[string]time.Time{
		"sgx_v3_processor_ca": time.Date(2025, 6, 20, 0, 0, 0, 0, time.UTC),
		"tdx_v4":              time.Date(2025, 6, 20, 0, 0, 0, 0, time.UTC),
	} {
		t.Run(name, func(t *testing.T) {
			e := &attest.Evidence{
				Platform:   "dcap",
				Quote:      made(os.ReadFile(vectors(t, "dcap", name+".quote"))),
				Collateral: made(os.ReadFile(vectors(t, "dcap", name+".collateral.json"))),
			}
			r, err := new(dcap.Verifier).Verify(t.Context(), e, at)
			if err != nil {
				t.Fatal(err)
			}
			holdsPin(t, r)
		})
	}
}

// A guest is pinned whole: its firmware, the system that this booted, and what its host chose.
func TestPinTDX(t *testing.T) {
	r, b := seen()
	r.TEE, r.TCB.Module = "tdx", attest.UpToDate
	r.Measurements = make(map[string][]byte)
	for _, name := range attest.Measurements("tdx") {
		r.Measurements[name] = make([]byte, 48)
		if strings.HasSuffix(name, "attributes") || name == "xfam" {
			r.Measurements[name] = make([]byte, 8)
		}
	}
	holdsPin(t, r)
	p := made(attest.ParsePolicy(made(attest.Pin(r, b, attest.PinConfig{})).Policy))
	for _, name := range []string{"mrseam", "mrsignerseam", "seam_attributes"} { // they are judged under tcb
		if p.Builds[0].Measurements[name] != nil {
			t.Errorf("%s is pinned", name)
		}
	}
	if w := p.Warnings(day(3)); len(w) > 0 {
		t.Errorf("got warnings %q", w)
	}
	// What the host can migrate or look into is not accepted for having been seen.
	r.Debug, r.Measurements["td_attributes"] = true, unhex("1000003000000000")
	holdsPin(t, r)
	if got := names(made(attest.Pin(r, b, attest.PinConfig{})).Refusals); !slices.Equal(got, []string{"td_attributes", "debug"}) {
		t.Errorf("got refusals %q", got)
	}
}

func holdsPin(t *testing.T, r *attest.Report) {
	t.Helper()
	_, b := seen()
	if r.At.IsZero() {
		r.At = day(1)
	}
	if slices.Contains([]attest.Status{r.TCB.Status, r.TCB.Platform, r.TCB.Module, r.TCB.QE}, attest.Revoked) {
		_, err := attest.Pin(r, b, attest.PinConfig{Accept: acceptAll})
		wantError(t, err, "the platform is revoked")
		return
	}
	// By default nothing is accepted that the default policy refuses.
	first, err := attest.Pin(r, b, attest.PinConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(first.Refusals), names(attest.DefaultRefusals(r)); !slices.Equal(got, want) {
		t.Errorf("got refusals %v, want %v", got, want)
	}
	// What is accepted one by one is refused no longer, and nothing else is accepted with it.
	var accepted []string
	for _, name := range names(first.Refusals) {
		accepted = append(accepted, name)
		next := made(attest.Pin(r, b, attest.PinConfig{Accept: accepted}))
		if got, want := names(next.Refusals), names(first.Refusals)[len(accepted):]; !slices.Equal(got, want) {
			t.Errorf("with %v accepted: got refusals %v, want %v", accepted, got, want)
		}
	}
	text := made(attest.Pin(r, b, attest.PinConfig{Accept: acceptAll})).Policy
	p, err := attest.ParsePolicy(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if err := p.Check(r, b); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
	refusesOthers(t, p, r, b)
}

// refusesOthers changes what identifies the evidence, one thing at a time.
func refusesOthers(t *testing.T, p *attest.Policy, r *attest.Report, b *attest.Binding) {
	t.Helper()
	active := map[string][]string{
		"sgx":     {"mrenclave"},
		"tdx":     {"mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mrconfigid", "mrowner", "mrownerconfig", "td_attributes", "xfam"},
		"sev-snp": {"measurement", "host_data", "id_key_digest", "author_key_digest", "guest_policy"},
		"nitro":   {"pcr0", "pcr1", "pcr2"},
	}[r.TEE]
	for _, name := range []string{"mrservicetd", "pcr17"} { // not of every platform
		if r.Measurements[name] != nil {
			active = append(active, name)
		}
	}
	for _, name := range active {
		other := *r
		other.Measurements = maps.Clone(r.Measurements)
		other.Measurements[name] = bytes.Clone(r.Measurements[name])
		if len(other.Measurements[name]) == 0 {
			t.Errorf("the evidence has no %s", name)
			continue
		}
		other.Measurements[name][0] ^= 1
		wantError(t, p.Check(&other, b), "builds[0]."+name)
	}
	refusesOlder(t, p, r, b)
	for key, change := range map[string]func(*attest.Binding){
		"issuer": func(b *attest.Binding) { b.Issuer += "x" },
		"rules":  func(b *attest.Binding) { b.RulesDigest[31] ^= 1 },
		"scheme": func(b *attest.Binding) { b.Scheme = attest.Original },
	} {
		other := *b
		change(&other)
		wantError(t, p.Check(r, &other), key+": got")
	}
}

// refusesOlder makes the platform worse, one thing at a time.
func refusesOlder(t *testing.T, p *attest.Policy, r *attest.Report, b *attest.Binding) {
	t.Helper()
	other := *r
	other.TCB.Status = attest.OutOfDateConfigurationNeeded
	if r.TCB.Status != other.TCB.Status {
		wantError(t, p.Check(&other, b), "tcb.accept: got OutOfDateConfigurationNeeded")
	}
	if r.TCB.Status == tee.NotJudged {
		if a := r.AMD; a != nil {
			for _, tcb := range []*tee.AMDTCB{&a.Reported, &a.Launch} {
				was := *tcb
				tcb.Microcode = min(a.Reported.Microcode, a.Launch.Microcode) - 1
				wantError(t, p.Check(r, b), "builds[0].min_tcb.microcode")
				*tcb = was
			}
		}
		return
	}
	other = *r
	other.TCB.EvaluationNumber--
	wantError(t, p.Check(&other, b), "tcb.evaluation_number")
	if r.TCB.Status != attest.UpToDate {
		other = *r
		other.TCB.Advisories = append(slices.Clone(r.TCB.Advisories), "INTEL-SA-99999")
		wantError(t, p.Check(&other, b), "tcb.advisories: got INTEL-SA-99999")
	}
}

// names are the refusals' keys as PinConfig.Accept has them.
func names(refusals []attest.Refusal) []string {
	var list []string
	for _, r := range refusals {
		list = append(list, strings.TrimPrefix(strings.TrimPrefix(r.Key, "builds[0]."), "builds[]."))
	}
	return list
}

// The comments tell what was seen, and what is refused and why.
func TestPinComments(t *testing.T) {
	r, b := seen()
	r.TCB.Levels = []attest.Level{{Part: "platform", Status: attest.UpToDate, Date: day(-40)}}
	for name, test := range map[string]struct {
		change  func(*attest.Report)
		binding *attest.Binding
		config  attest.PinConfig
		want    []string
		lacks   []string
	}{
		"a sound platform": {
			binding: b, config: attest.PinConfig{From: "https://broker.example.com"},
			want: []string{
				"Intel SGX evidence that was verified at", "2026-01-04T00:00:00Z", "# Seen at: https://broker.example.com\n", "FMSPC 00606a000000, certified by the platform CA",
				"#   platform: UpToDate, a level of 2025-11-22\n", "decides to trust them",
				"\n    mrenclave: \"" + encl32 + "\"\n", "\n    # mrsigner: \"" + sign32 + "\"\n    # isvprodid: 1\n    # isvsvn: 2\n",
				"\n  accept: [UpToDate, SWHardeningNeeded]\n", "\n  evaluation_number: 17\n",
				"\nissuer: \"" + issuer + "\"\n", "\nrules: [\"" + rules1 + "\"]\n", "\nscheme: \"dice\"\n",
			},
			lacks: []string{"REFUSED", "advisories:", "simulated"},
		},
		"advisories of a platform that is up to date": {
			change: func(r *attest.Report) { r.TCB.Advisories = []string{"INTEL-SA-00615"} }, binding: b,
			want: []string{"\n  # advisories: [\"INTEL-SA-00615\"]\n"},
		},
		"advisories of one that needs the software's defence": {
			change: func(r *attest.Report) {
				r.TCB.Status, r.TCB.Advisories = attest.SWHardeningNeeded, []string{"INTEL-SA-00289", "INTEL-SA-00615"}
			}, binding: b,
			want: []string{"\n  advisories: [\"INTEL-SA-00289\", \"INTEL-SA-00615\"]\n"},
		},
		"a platform that is out of date": {
			change: func(r *attest.Report) {
				r.TCB.Status, r.TCB.Remedies = attest.OutOfDate, []string{"update the BIOS"}
				r.TCB.Shortfalls = []attest.Shortfall{{Part: "platform", Component: "sgxtcbcomponents[6]", Name: "BIOS", Have: 1, Want: 3}}
			}, binding: b,
			want: []string{
				"REFUSED as long as the default", "The platform was OutOfDate (sgxtcbcomponents[6] (BIOS) is 1,\n  # not 3).", "What would help: update the BIOS.",
				"\n  # accept: [UpToDate, SWHardeningNeeded, OutOfDate]\n", "\n  # tolerate: [{status: OutOfDate, until: 2026-02-03}]\n",
			},
		},
		"a debug build, accepted": {
			change: func(r *attest.Report) { r.Debug = true }, binding: b, config: attest.PinConfig{Accept: []string{"debug"}},
			want: []string{"Accepted on purpose. It is a debug build, whose memory its host can read.\n    debug: true\n"},
		},
		"a simulated one": {
			change: func(r *attest.Report) { r.Simulated = true }, binding: b, config: attest.PinConfig{SimulatedRoot: "the \"root\".pem"},
			want: []string{"\n# simulated_root: \"the \\\"root\\\".pem\"\n"},
		},
		"a bare quote": {want: []string{"a bare quote, which binds no key", "\n# issuer: ", "\n# rules: "}, lacks: []string{"\nscheme"}},
		"of other software": {
			binding: &attest.Binding{Scheme: attest.DICE},
			want:    []string{"The evidence binds no issuer", "The evidence binds no rules"}, lacks: []string{"issuer:", "rules:"},
		},
		"of the original": {binding: &attest.Binding{Scheme: attest.Original, Use: attest.UseSignature}, want: []string{"\nscheme: \"original\"\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			report := *r
			apply(test.change, &report)
			got, err := attest.Pin(&report, test.binding, test.config)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if !strings.Contains(string(got.Policy), want) {
					t.Errorf("no %q in\n%s", want, got.Policy)
				}
			}
			for _, odd := range test.lacks {
				if strings.Contains(string(got.Policy), odd) {
					t.Errorf("%q in\n%s", odd, got.Policy)
				}
			}
		})
	}
}

// What a bare quote can't tell stands in the policy as a comment that shows what belongs there.
func TestPinOfABareQuote(t *testing.T) {
	r, _ := seen()
	text := string(made(attest.Pin(r, nil, attest.PinConfig{})).Policy)
	for _, want := range []string{"\n# issuer: \"https://broker.example.com\"\n", "\n# rules: [\"sha256:<64 hex digits>\"]\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("want the line %q in\n%s", want, text)
		}
	}
}

func TestPinRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		report  func(*attest.Report)
		binding func(*attest.Binding)
		accept  []string
		want    string
	}{
		"an unknown key":             {accept: []string{"tcb"}, want: `accept: got "tcb", want one of debug, sample_signer, tcb.accept, simulated_root, td_attributes`},
		"a revoked platform":         {report: func(r *attest.Report) { r.TCB.Status = attest.Revoked }, accept: acceptAll, want: "the platform is revoked"},
		"a revoked module":           {report: func(r *attest.Report) { r.TCB.Module = attest.Revoked }, accept: acceptAll, want: "the platform is revoked"},
		"no measurement":             {report: func(r *attest.Report) { delete(r.Measurements, "mrenclave") }, want: "no measurement to pin"},
		"a short measurement":        {report: func(r *attest.Report) { r.Measurements["mrenclave"] = []byte{1} }, want: "builds[0].mrenclave: got 1 bytes, want 32"},
		"an unknown TEE":             {report: func(r *attest.Report) { r.TEE = "trustzone" }, want: `got evidence of "trustzone", want sgx, tdx, sev-snp or nitro`},
		"another TEE's measurements": {report: func(r *attest.Report) { r.TEE = "tdx" }, want: `evidence of "tdx" has no measurement to pin; want its mrtd`},
		"an issuer that is no URL":   {binding: func(b *attest.Binding) { b.Issuer = "someone" }, want: `issuer: got "someone", want a URL`},
		"an issuer that is no text":  {binding: func(b *attest.Binding) { b.Issuer = "https://b.example/\xff" }, want: "does not fit the policy"},
		"a status nobody knows":      {report: func(r *attest.Report) { r.TCB.Status = "Fine]\nissuer: x" }, want: `tcb.accept: got "Fine]\nissuer: x", want one of`},
		"the same, accepted":         {report: func(r *attest.Report) { r.TCB.Status = "Fine]\nissuer: x" }, accept: acceptAll, want: "want one of"},
		"no status":                  {report: func(r *attest.Report) { r.TCB.Status = "" }, want: `tcb.accept: got ""`},
		"an advisory with a newline": {report: func(r *attest.Report) { r.TCB.Status, r.TCB.Advisories = attest.OutOfDate, []string{"A\nB"} }, want: "tcb.advisories[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			r, b := seen()
			apply(test.report, r)
			apply(test.binding, b)
			got, err := attest.Pin(r, b, attest.PinConfig{Accept: test.accept})
			wantError(t, err, test.want)
			if got != nil {
				t.Errorf("got a policy beside the error:\n%s", got.Policy)
			}
		})
	}
	if _, err := attest.Pin(nil, nil, attest.PinConfig{}); err == nil {
		t.Error("pinned nothing")
	}
}

// Whatever is in the evidence, what is written is the policy that was meant, in plain text.
func FuzzPin(f *testing.F) {
	f.Add(issuer, "INTEL-SA-00615", "https://broker.example.com", "OutOfDate", "root.pem", unhex(encl32), false, true)
	f.Add("https://b.example/\"\n builds: []", "\u202e#'", "x\n- tee: sgx", "UpToDate", "\x1b[2J", []byte{}, true, true)
	f.Add("https://b.example/ # x: y", "a, b]", "\r", "SWHardeningNeeded", "%", unhex(encl32), true, false)
	f.Add("", "0", "0", "\xdf", "0", unhex(encl32), false, false)
	f.Add(issuer, "a", "0", "X]\nsimulated_root: x", "0", unhex(encl32), true, false)
	f.Add("https://\u2028\u0085\U0010ffff", "\\", "\x00", "ConfigurationNeeded", "\ufeff", unhex(encl32), false, false)
	f.Fuzz(func(t *testing.T, issuer, advisory, from, status, root string, mrenclave []byte, debug, accept bool) {
		r, b := seen()
		r.Debug, r.TCB.Status, r.TCB.Advisories, r.Simulated = debug, attest.Status(status), []string{advisory}, true
		r.TCB.Shortfalls = []attest.Shortfall{{Component: from, Name: advisory}}
		r.TCB.Remedies, r.FMSPC, r.PCKCA = []string{from}, from, root
		r.TCB.Levels = []attest.Level{{Part: from, Status: attest.Status(advisory)}}
		r.Measurements["mrenclave"], b.Issuer = mrenclave, issuer
		c := attest.PinConfig{From: from, SimulatedRoot: root}
		if accept {
			c.Accept = acceptAll
		}
		got, err := attest.Pin(r, b, c)
		if err != nil {
			return
		}
		for i, char := range string(got.Policy) {
			if char != '\n' && (char < ' ' || char > '~') {
				t.Fatalf("character %q at %d of\n%q", char, i, got.Policy)
			}
		}
		p, err := attest.ParsePolicy(got.Policy)
		if err != nil {
			t.Fatalf("%v\n%s", err, got.Policy)
		}
		if len(p.Builds) != 1 || hex.EncodeToString(p.Builds[0].Measurements["mrenclave"]) != hex.EncodeToString(mrenclave) || len(p.Builds[0].Measurements) != 1 ||
			p.Builds[0].Debug != (debug && accept) || p.Builds[0].SampleSigner || p.Issuer != issuer || len(p.Rules) != 1 || p.Scheme != attest.DICE || len(p.TCB.Tolerate) != 0 ||
			p.TCB.EvaluationNumber != 17 || !accept && (p.SimulatedRoot != "" || !slices.Equal(p.TCB.Accept, attest.DefaultAccept())) {
			t.Fatalf("got %+v of\n%s", p, got.Policy)
		}
		if err := p.Check(r, b); (err == nil) != (len(got.Refusals) == 0) || accept && err != nil {
			t.Fatalf("%v, and %v of\n%s", err, got.Refusals, got.Policy)
		}
	})
}

// The same of what AMD's and AWS's evidence says of itself.
func FuzzPinOthers(f *testing.F) {
	f.Add(false, "Milan", "vcek", "", unhex(hex48), unhex("0000000000030000"), []byte{0, 4, 0, 24, 219}, uint32(0), uint32(1), true)
	f.Add(false, "Turin", "vlek", "", unhex(hex48), unhex("00000000000f0000"), []byte{1, 1, 1, 1, 1}, uint32(3), uint32(0), false)
	f.Add(false, "Milan\n  debug: true", "\x1b[2J", "", unhex(hex48), []byte{}, []byte{0, 0, 0, 0, 0}, uint32(4), uint32(0), true)
	f.Add(true, "", "", "i-0\nbuilds: []", unhex(hex48), []byte{}, []byte{0, 0, 0, 0, 0}, uint32(0), uint32(0), true)
	f.Add(true, "", "", "\u202e", unhex(zero48), unhex(zero48), []byte{0, 0, 0, 0, 0}, uint32(0), uint32(0), false)
	f.Fuzz(func(t *testing.T, nitro bool, product, signedBy, module string, identity, other, svn []byte, vmpl, guestSVN uint32, accept bool) {
		r, b := milan(), binding()
		b.Scheme = attest.DICE
		r.Measurements["measurement"], r.Measurements["guest_policy"] = identity, other
		if len(svn) != 5 {
			return
		}
		r.AMD.Reported = tee.AMDTCB{FMC: svn[0], Bootloader: svn[1], TEE: svn[2], SNP: svn[3], Microcode: svn[4]}
		r.AMD.Product, r.AMD.SignedBy, r.AMD.VMPL, r.AMD.GuestSVN = product, signedBy, vmpl, guestSVN
		if nitro {
			r = enclave()
			r.Measurements["pcr0"], r.Measurements["pcr20"], r.AWS.ModuleID = identity, other, module
		}
		c := attest.PinConfig{From: signedBy}
		if accept {
			c.Accept = acceptAll
		}
		got, err := attest.Pin(r, &b, c)
		if err != nil {
			return
		}
		p, err := attest.ParsePolicy(got.Policy)
		if err != nil || len(p.Builds) != 1 || p.Issuer != b.Issuer || p.Builds[0].Debug || p.Builds[0].UncheckedRevocation || !accept && p.Builds[0].VMPL != 0 {
			t.Fatalf("got %+v and %v of\n%s", p, err, got.Policy)
		}
		if err := p.Check(r, &b); (err == nil) != (len(got.Refusals) == 0) || accept && err != nil {
			t.Fatalf("%v, and %v of\n%s", err, got.Refusals, got.Policy)
		}
	})
}
