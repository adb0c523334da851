package dcap

import (
	"slices"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// part is one part of a platform, judged by levels of its own.
type part struct {
	name            string // tee.PartPlatform, tee.PartModule or tee.PartQE
	reached, newest verdict
	short           []tee.Shortfall // of the newest level
}

// level finds how up to date the platform, its TDX module and its quoting enclave are.
func (j *judgement) level(q *Quote, pck *PCK) (*tee.TCB, error) {
	platform, err := j.tcb.judgePlatform(svns{pck, q.TD})
	if err != nil {
		return nil, err
	}
	qe, err := j.qe.judge(&q.Signature.QE.Report)
	if err != nil {
		return nil, err
	}
	t := &tee.TCB{
		Platform: platform.reached.status, QE: qe.reached.status,
		EvaluationNumber: j.evaluation(),
	}
	parts, relaunch := []part{platform, qe}, false
	if q.TD != nil {
		module, err := j.tcb.judgeModule(q.TD)
		if err != nil {
			return nil, err
		}
		if module != nil {
			parts = []part{platform, *module, qe}
			t.Module = module.reached.status
		}
		relaunch = j.tcb.relaunch(q.TD)
	}
	sum(t, parts)
	t.Remedies = remedies(parts, relaunch)
	return t, nil
}

// sum fills in what follows from the parts.
func sum(t *tee.TCB, parts []part) {
	t.Status = tee.UpToDate
	for _, p := range parts {
		t.Status = converge(t.Status, p.reached.status)
		t.Advisories = append(t.Advisories, p.reached.advisories...)
		t.Shortfalls = append(t.Shortfalls, p.short...)
		t.Levels = append(t.Levels, tee.Level{
			Part: p.name, Status: p.reached.status, Date: p.reached.date, Advisories: sorted(p.reached.advisories),
		})
	}
	t.Advisories = sorted(t.Advisories)
}

// sorted returns the advisories in order, each once.
func sorted(advisories []string) []string {
	all := slices.Clone(advisories)
	slices.Sort(all)
	return slices.Compact(all)
}
