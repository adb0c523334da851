package gateway

// RouteNames are all values that [Decision.Route] can have, and with it the routes of an
// [Observer]: those of the configuration, and those that nobody configured.
func (g *Gateway) RouteNames() []string {
	names := []string{everywhere, nowhere, createSession, useSession, preflight}
	for i := range g.routes {
		names = append(names, g.routes[i].Name)
	}
	return names
}
