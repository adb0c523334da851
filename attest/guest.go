package attest

import "encoding/hex"

// migratable tells whether the evidence is of a TDX guest that service TDs, which the host chooses, may copy
// elsewhere: the attribute MIGRATABLE, bit 29 (Intel TDX Module Base Architecture Specification, "TD
// ATTRIBUTES"). The host chooses the attributes when it makes the guest, and no measurement covers them. Those
// that open a guest to its host make it a debug build, which its [Verifier] tells.
func migratable(r *Report) bool {
	attributes := r.Measurements["td_attributes"]
	return r.TEE == "tdx" && len(attributes) > 3 && attributes[3]&(1<<5) != 0
}

// checkGuest refuses a guest that can be migrated, unless the build names its attributes.
func (b *Build) checkGuest(r *Report, key string) []Refusal {
	if !migratable(r) || b.Measurements["td_attributes"] != nil {
		return nil
	}
	return []Refusal{{
		Key: key + ".td_attributes", Want: "a guest that can't be migrated, or the td_attributes of one that may be",
		Got: hex.EncodeToString(r.Measurements["td_attributes"]) + ", by which service TDs of the host's choice may have its memory",
		Fix: "have the guest made without the attribute MIGRATABLE, or name its td_attributes, and the mrservicetd that is trusted with it",
	}}
}
