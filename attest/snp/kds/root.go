package kds

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// amdRoots are the SHA-256 of the DER of AMD's root certificates (ARK), as https://kdsintf.amd.com/vcek/v1/{product}/cert_chain has them.
var amdRoots = map[string]string{
	"69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd": Milan,
	"4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1": Genoa,
	"1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a": Turin,
}

// amdProduct returns the product whose root this is by its bytes, or nothing if it is no root of AMD's.
func amdProduct(der []byte) string {
	digest := sha256.Sum256(der)
	return amdRoots[hex.EncodeToString(digest[:])]
}

// ErrUntrustedRoot is wrapped by the error of collateral whose root is not the verifier's. Whatever its names say,
// AMD did not make it (or not whoever made the development root).
var ErrUntrustedRoot = errors.New("untrusted root; for a development root name it (simulated_root in the policy, or --root)")
