package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
)

// printFindings writes findings for people to read.
func printFindings(w *report.Writer, source string, findings []finding) error {
	for i := range findings {
		title := "Evidence in " + source
		if len(findings) > 1 {
			title += fmt.Sprintf(", key %d of %d", i+1, len(findings))
		}
		w.Title(title)
		findings[i].print(w)
	}
	return w.Err()
}

func (x *finding) print(w *report.Writer) {
	if !x.Genuine {
		x.printRefused(w)
		return
	}
	p := platformOf(x.TEE)
	who := p.maker + " vouches for it"
	if *x.Simulated {
		who = "under a development root: made by software, not by hardware"
	}
	w.Check(report.Pass, "genuine", who+", judged at "+show(x.At))
	x.printRuns(w, p)
	w.Heading("On what it runs")
	p.printOn(x, w)
	printBasis(w, x.Basis, p.maker, *x.Simulated)
	if x.unbound {
		x.printUnbound(w)
		return
	}
	x.printFresh(w)
	x.printKey(w)
	x.printPolicy(w)
}

// printRuns says what runs.
func (x *finding) printRuns(w *report.Writer, p platform) {
	w.Heading("What runs")
	w.Row("TEE", teeName(x.TEE))
	debug := "no"
	if *x.Debug {
		debug = "yes: its host can read its memory"
	}
	w.Row("debug", debug)
	p.printRuns(x, w)
	if x.Nitro != nil && len(x.Nitro.UserData) != len(x.ReportData) {
		w.Row("report data", "none: user data of 64 bytes would be")
		return
	}
	w.Row("report data", digits(x.ReportData)...)
}

func (x *finding) printRefused(w *report.Writer) {
	w.Check(report.Fail, "genuine", x.Reasons...)
	if x.fix != "" {
		w.Fix(x.fix)
	}
	x.printCertificate(w)
	if u := x.Unverified; u != nil {
		w.Heading("Claimed, but not verified")
		w.Row("TEE", teeName(u.TEE))
		w.Row("debug", yesNo(u.Debug))
		for _, m := range []struct{ label, value string }{
			{"MRENCLAVE", u.MRENCLAVE}, {"MRSIGNER", u.MRSIGNER}, {"MRTD", u.MRTD}, {"FMSPC", u.FMSPC},
			{"measurement", u.Measurement}, {"processor", u.Product}, {"chip", u.ChipID}, {"module", u.ModuleID}, {"PCR0", u.PCR0},
		} {
			if m.value != "" {
				w.Row(m.label, digits(m.value)...)
			}
		}
	}
	if x.Unavailable {
		w.Verdict(report.Fail, "whether it is genuine can't be told without collateral")
		return
	}
	w.Verdict(report.Fail, "not genuine")
}

// printUnbound ends what is said of genuine evidence that came with a key it does not vouch for.
func (x *finding) printUnbound(w *report.Writer) {
	w.Heading("What it binds")
	for _, r := range x.Refusals {
		w.Check(report.Fail, r.Key, r.lines()...)
		w.Fix(r.Fix)
	}
	x.printCertificate(w)
	w.Verdict(report.Fail, "genuine, but it does not vouch for this key")
}

func (x *finding) printKey(w *report.Writer) {
	if x.Binding == nil {
		return
	}
	b := x.Binding
	w.Heading("What it binds")
	switch b.Scheme {
	case attest.Original:
		w.Row("scheme", "original: the key alone, neither issuer nor rules")
	default:
		w.Row("scheme", b.Scheme)
	}
	if x.KeyID != "" {
		w.Row("key id", x.KeyID)
	}
	w.Row("thumbprint", b.KeyThumbprint+" (RFC 7638)")
	if x.Algorithm != "" {
		w.Row("algorithm", x.Algorithm)
	}
	if b.Use != "" {
		w.Row("use", useName(b.Use))
	}
	if b.Issuer != "" {
		w.Row("issuer", b.Issuer)
	}
	if b.RulesDigest != "" {
		w.Row("rules", b.RulesDigest)
	}
	x.printCertificate(w)
}

// printCertificate writes the certificate's own validity, which is another question than its evidence.
func (x *finding) printCertificate(w *report.Writer) {
	c := x.Certificate
	if c == nil {
		return
	}
	text := fmt.Sprintf("valid %s to %s", day(c.NotBefore), day(c.NotAfter))
	switch {
	case c.Valid:
		w.Check(report.Pass, "certificate", text)
	case x.At.Before(c.NotBefore):
		w.Check(report.Warn, "certificate", text+"; not yet valid on "+day(x.At))
	default:
		w.Check(report.Warn, "certificate", text+"; it had expired when judged")
	}
}

func (x *finding) printPolicy(w *report.Writer) {
	if x.noPolicy {
		w.Heading("What a default policy says")
	} else {
		w.Heading("What the policy " + x.Policy + " says")
	}
	defaultRefuses := false
	for _, r := range x.Refusals {
		r = x.briefly(r)
		verdict := report.Fail
		if x.noPolicy && r.Key == "builds" {
			verdict = report.Warn // not the evidence's fault
		} else {
			defaultRefuses = true
		}
		w.Check(verdict, policyLabel(r.Key), r.lines()...)
		if r.Fix != "" {
			w.Fix(r.Fix)
		}
	}
	what := "genuine"
	if x.Fresh != nil {
		what = "genuine and fresh"
	}
	switch {
	case x.Accepted:
		w.Check(report.Pass, "accepted", "every reference value matches")
		w.Verdict(report.Pass, what+", and accepted by the policy")
	case !x.noPolicy:
		w.Verdict(report.Fail, what+", but refused by the policy")
	case defaultRefuses:
		w.Verdict(report.Warn, what+", but a default policy refuses it")
	default:
		w.Verdict(report.Pass, what+"; whether it is yours, only a policy can tell")
	}
}

// briefly leaves out of a refusal of the platform what stands above it already.
func (x *finding) briefly(r refusalJSON) refusalJSON {
	status := string(x.TCB.Status)
	if r.Key != "tcb.accept" || len(x.TCB.Remedies) == 0 || !strings.HasPrefix(r.Got, status+" (") {
		return r
	}
	r.Got = status
	r.Fix = fmt.Sprintf("do what helps, above, or, knowing what is missing, list %s in tcb.accept, or in tcb.tolerate until a date", status)
	return r
}

// lines are a refusal after its key: what there is, and what the policy wants.
func (r *refusalJSON) lines() []string {
	switch {
	case r.Want == "":
		return []string{r.Got}
	case r.Got == "":
		return []string{"wanted: " + r.Want}
	}
	return []string{r.Got, "wanted: " + r.Want}
}

func useName(use string) string {
	switch use {
	case attest.UseSignature:
		return "sig: signs access tokens"
	case attest.UseTLS:
		return "tls: the server's end of TLS"
	case attest.UseSealing:
		return "seal: what is sealed to it, only it can open"
	}
	return use
}

// policyLabel is a policy's key without the number of the build, which says
// nothing where there is one.
func policyLabel(key string) string {
	if strings.HasPrefix(key, "builds[") {
		if _, rest, ok := strings.Cut(key, "]."); ok {
			return rest
		}
	}
	return key
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func number(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}

// digits breaks long hex into equal lines of at most 64 digits. Zeros are said in words.
func digits(text string) []string {
	if len(text) >= 64 && strings.Trim(text, "0") == "" {
		return []string{fmt.Sprintf("zero (%d bytes)", len(text)/2)}
	}
	n := (len(text) + 63) / 64
	if n < 2 {
		return []string{text}
	}
	var lines []string
	for size := (len(text) + n - 1) / n; len(text) > 0; {
		size = min(size, len(text))
		lines, text = append(lines, text[:size]), text[size:]
	}
	return lines
}
