package platform

// TLSOnLoopback returns c for a node that is served as on any other address.
func TLSOnLoopback(c Config) Config {
	c.tlsOnLoopback = true
	return c
}

// AskToLeave asks the node to leave its cluster, whether or not it may.
func AskToLeave(n *Node) { n.leaving <- struct{}{} }

// Leads tells whether the node leads its cluster.
func Leads(n *Node) bool {
	_, self := n.member.Leader()
	return self
}
