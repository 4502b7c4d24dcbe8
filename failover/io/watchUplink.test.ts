import { expect, test } from 'vitest';
import { soleUplink } from '../core/uplinks.ts';
import { isDisturbance } from './watchUplink.ts';

test.each([
  {
    name: 'the uplink goes down',
    line: '3: eth0: <BROADCAST,MULTICAST> mtu 1500 qdisc noqueue state DOWN',
    is: true,
  },
  { name: 'the uplink is a veth', line: '3: eth0@if9: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500', is: true },
  { name: 'it is deleted', line: 'Deleted 3: eth0@if9: <BROADCAST,MULTICAST> mtu 1500', is: true },
  {
    name: 'an address goes off it',
    line: 'Deleted 3: eth0    inet 203.0.113.10/32 scope global noprefixroute eth0',
    is: true,
  },
  {
    name: 'an egress IP comes',
    line: '3: eth0    inet 203.0.113.10/32 scope global noprefixroute eth0',
    is: false,
  },
  { name: 'the node’s address comes', line: '3: eth0    inet 203.0.113.11/24 scope global eth0', is: true },
  { name: 'it comes alone in its network', line: '3: eth0    inet 10.1.0.5/32 scope global eth0', is: true },
  {
    name: 'an address of IPv6 is told again',
    line: '3: eth0    inet6 2001:db8::11/64 scope global dynamic mngtmpaddr',
    is: false,
  },
  { name: 'a pod comes', line: '17: veth1a2b@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450', is: false },
  {
    name: 'an address goes off another device',
    line: 'Deleted 4: cni0    inet 10.244.1.1/24 scope global cni0',
    is: false,
  },
  { name: 'a line goes on', line: '    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff', is: false },
])('$name: worth a look is $is', ({ line, is }) => {
  expect(isDisturbance(line, soleUplink('eth0'))).toBe(is);
  const [, ...rest] = [...soleUplink('eth1'), ...soleUplink('eth0')];
  expect(isDisturbance(line, [...soleUplink('eth1'), ...rest])).toBe(is);
});
