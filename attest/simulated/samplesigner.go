package simulated

import "encoding/hex"

// SampleSigner is a signing key that its owner published, so that its MRSIGNER says nothing.
type SampleSigner struct {
	Name     string
	MRSIGNER [32]byte
}

// SampleSigners returns those that are known by name.
func SampleSigners() []SampleSigner {
	return []SampleSigner{
		{"the SGX SDK", digest("83d719e77deaca1470f6baf62a4d774303c899db69020f9c70ee1dfc08c7ce9e")},
		{"Open Enclave", digest("ca9ad7331448980aa28890ce73e433638377f179ab4456b2fe237193193a8d0a")},
		{"Fortanix", digest("9affcfae47b848ec2caf1c49b4b283531e1cc425f93582b36806e52a43d78d1a")},
	}
}

func digest(s string) (d [32]byte) {
	if n, err := hex.Decode(d[:], []byte(s)); err != nil || n != len(d) {
		panic("simulated: not a digest: " + s) // a literal above
	}
	return d
}
