package attest

import "encoding/hex"

// checkGuest refuses a guest that somebody else may have a copy of, such as one that can be migrated, unless the build
// names the attributes that allow it.
func (b *Build) checkGuest(r *Report, key string) []Refusal {
	env := environmentOf(r.TEE)
	if env == nil || !env.exposed(r) || b.Measurements[env.guest.key] != nil {
		return nil
	}
	g := env.guest
	got := "none"
	if value := r.Measurements[g.key]; value != nil {
		got = hex.EncodeToString(value) + ", by which " + g.by + " may have its memory"
	}
	return []Refusal{{
		Key: key + "." + g.key, Want: "a guest that can't be migrated, or the " + g.key + " of one that may be",
		Got: got, Fix: g.fix,
	}}
}

// exposed tells whether the evidence is of a guest whose memory somebody may have by the attributes that its host chose.
func (e *environment) exposed(r *Report) bool {
	return e.guest != nil && e.guest.open(r.Measurements[e.guest.key])
}
