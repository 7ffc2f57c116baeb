package room

import (
	"math/rand/v2"
	"net"
	"strconv"

	"landfall.dev/kit"
)

// Instances get ports below those that Linux gives to outgoing connections
// (net.ipv4.ip_local_port_range), which would take them now and then.
const (
	firstPort = 20000
	lastPort  = 31999
)

// Ports returns n ports of this machine that nothing listens on and that are not
// among those taken.
func Ports(n int, taken map[int]bool) ([]int, error) {
	var ports []int
	for tries := 0; len(ports) < n; tries++ {
		if tries == lastPort-firstPort {
			return nil, kit.Errorf(kit.ErrUnavailable, "", "no free port was found between %d and %d", firstPort, lastPort)
		}
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if !taken[port] && Unused(port) {
			taken[port] = true
			ports = append(ports, port)
		}
	}
	return ports, nil
}

// Unused tells whether nothing listens on the port.
func Unused(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
