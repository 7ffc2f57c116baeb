package platform

// TLSOnLoopback returns c for a node that is served as on any other address.
func TLSOnLoopback(c Config) Config {
	c.tlsOnLoopback = true
	return c
}

// NewEpochDue tells whether the node's cluster was made from a backup and has
// not said so yet.
func NewEpochDue(n *Node) bool {
	m := n.member.p.Load()
	return m == nil || m.Restored()
}

// AskToLeave asks the node to leave its cluster, whether or not it may.
func AskToLeave(n *Node) { n.leaving <- struct{}{} }
