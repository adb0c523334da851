package main

import (
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// tcbJSON says how up to date the platform is, part by part.
type tcbJSON struct {
	Status           attest.Status   `json:"status"`
	Platform         attest.Status   `json:"platform,omitempty"`
	Module           attest.Status   `json:"module,omitempty"` // TDX
	QE               attest.Status   `json:"qe,omitempty"`     // Intel, as are the number and what follows it
	Advisories       []string        `json:"advisories"`
	EvaluationNumber *uint32         `json:"evaluation_number,omitempty"`
	Levels           []levelJSON     `json:"levels,omitempty"`     // what each part reached
	Shortfalls       []shortfallJSON `json:"shortfalls,omitempty"` // what keeps it from the newest level
	Remedies         []string        `json:"remedies,omitempty"`   // what its owner can do, the most effective first
}

type levelJSON struct {
	Part       string        `json:"part"` // platform, module or qe
	Status     attest.Status `json:"status"`
	Date       time.Time     `json:"date,omitzero"` // of all that the maker had published by then, nothing is missing
	Advisories []string      `json:"advisories"`
}

type shortfallJSON struct {
	Part      string `json:"part,omitempty"` // platform, module or qe
	Component string `json:"component"`
	Name      string `json:"name,omitempty"`
	Have      uint16 `json:"have"`
	Want      uint16 `json:"want"`
}

// collateralJSON is when the collateral is valid, and who brought it.
type collateralJSON struct {
	windowJSON
	Source string `json:"source,omitempty"` // "evidence", "staple", "service" or "file"
}

// basisJSON is one certificate, revocation list or signed document.
type basisJSON struct {
	What     string `json:"what"`
	SignedBy string `json:"signed_by"`
	windowJSON
}

func tcbFacts(t *attest.TCB) *tcbJSON {
	x := &tcbJSON{
		Status: t.Status, Platform: t.Platform, Module: t.Module, QE: t.QE,
		Advisories: append([]string{}, t.Advisories...), Remedies: t.Remedies,
	}
	if t.Status != tee.NotJudged {
		x.EvaluationNumber = &t.EvaluationNumber
	}
	for _, l := range t.Levels {
		x.Levels = append(x.Levels, levelJSON{l.Part, l.Status, l.Date.UTC(), append([]string{}, l.Advisories...)})
	}
	for _, s := range t.Shortfalls {
		x.Shortfalls = append(x.Shortfalls, shortfallJSON(s))
	}
	return x
}

func basisFacts(list []attest.Basis) []basisJSON {
	var all []basisJSON
	for _, b := range list {
		all = append(all, basisJSON{b.What, b.SignedBy, windowOf(b.Window)})
	}
	return all
}
