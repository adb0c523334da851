// Package dcap holds other people's verifiers of Intel quotes against attest/dcap and attest/simulated.
package dcap
