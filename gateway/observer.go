package gateway

import (
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway/access"
)

// Observer counts what the gateway does. Its methods are called concurrently,
// and must return at once. All labels are of bounded sets: the names of routes,
// and the words of package access.
type Observer interface {
	// Decided is called for every decision, whoever asked for it.
	Decided(route string, mode access.Mode, reason access.Reason, fault ctb.Fault, took time.Duration)
	// Answered is called when the answer to a client has ended, or its upgraded
	// connection (101). The status is 499 if the client went before.
	Answered(route string, status int, took time.Duration)
	// Tunnel is called when an upgraded connection opens, and when it closes.
	Tunnel(open bool)
}

// decided tells the observer.
func (g *Gateway) decided(d *Decision, refusal *access.Refusal, took time.Duration) {
	if g.config.Observer == nil {
		return
	}
	mode, reason, fault := d.mode(), access.Allowed, ctb.Fault("")
	if refusal != nil {
		mode, reason, fault = refusal.Mode, refusal.Reason, refusal.Fault
	}
	if mode == "" {
		mode = access.None
	}
	g.config.Observer.Decided(d.Route, mode, reason, fault, took)
}
