/*
 * The load of the datapath bench: what Node cannot do fast enough, or not at all. Compiled by the bench itself.
 *
 *   load gro DEVICE
 *       gives a veth device a NAPI of its own for all that comes from it: with generic receive offload at this end, and, for
 *       the other way, without segmentation offload, which would let small packets pass it by
 *   load frames DEVICE GW_MAC OUTER_SRC OUTER_DST PORT VNI INNER_DST_MAC INNER_SRC_MAC SOURCE FLOWS SECONDS
 *       UDP datagrams of 18 bytes, already in the tunnel; of IPv6 where SOURCE is. FLOWS 0: each a new flow
 *   load replies DEVICE GW_MAC TARGET FLOWS SECONDS
 *       what answers those, to the address that they leave with
 *   load serve ADDRESS
 *       9001 takes bytes, 9002 closes what connects, 9003 echoes datagrams; "ready" when it listens
 *   load stream ADDRESS SECONDS | load connect ADDRESS SECONDS | load echo ADDRESS SECONDS
 *       prints bytes, connections made one after another by several at a time, datagrams that came back
 *
 * Each prints one number at its end.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, PAYLOAD = 18, PORTS = 60000, FIRST_PORT = 1024, PEER_PORT = 9000 };
/* Destinations of the benchmarking networks of RFC 2544; of IPv6 behind the prefix of RFC 5180. */
#define FIRST_DESTINATION 0xc6120001u
#define DESTINATIONS 0x1fff0u

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static uint16_t checksum(const void *data, int bytes) {
  const uint16_t *p = data;
  uint32_t sum = 0;
  for (; bytes > 1; bytes -= 2) sum += *p++;
  sum = (sum >> 16) + (sum & 0xffff);
  return ~(sum + (sum >> 16));
}

static void mac(unsigned char *to, const char *text) {
  unsigned v[6];
  if (sscanf(text, "%x:%x:%x:%x:%x:%x", v, v + 1, v + 2, v + 3, v + 4, v + 5) != 6) fail(text);
  for (int i = 0; i < 6; i++) to[i] = v[i];
}

static uint32_t ip(const char *text) {
  struct in_addr a;
  if (inet_pton(AF_INET, text, &a) != 1) fail(text);
  return ntohl(a.s_addr);
}

static void header(unsigned char *p, int length, uint32_t src, uint32_t dst) {
  memset(p, 0, 20);
  p[0] = 0x45;
  *(uint16_t *)(p + 2) = htons(length);
  p[6] = 0x40;
  p[8] = 64;
  p[9] = 17;
  *(uint32_t *)(p + 12) = htonl(src);
  *(uint32_t *)(p + 16) = htonl(dst);
  *(uint16_t *)(p + 10) = checksum(p, 20);
}

static void header6(unsigned char *p, int length, const unsigned char *src, const unsigned char *dst) {
  memset(p, 0, 40);
  p[0] = 0x60;
  *(uint16_t *)(p + 4) = htons(length - 40);
  p[6] = 17;
  p[7] = 64;
  memcpy(p + 8, src, 16);
  memcpy(p + 24, dst, 16);
}

static void ethertype(unsigned char *p, int six) {
  p[0] = six ? 0x86 : 8;
  p[1] = six ? 0xdd : 0;
}

static void udp(unsigned char *p, int sport, int dport, int length) {
  *(uint16_t *)p = htons(sport);
  *(uint16_t *)(p + 2) = htons(dport);
  *(uint16_t *)(p + 4) = htons(length);
  *(uint16_t *)(p + 6) = 0;
}

struct flow {
  uint32_t peer;
  int port;
};

static struct flow flow(uint64_t k) {
  struct flow f = {FIRST_DESTINATION + (k / PORTS) % DESTINATIONS, FIRST_PORT + k % PORTS};
  return f;
}

static int packet_socket(const char *device) {
  int s = socket(AF_PACKET, SOCK_RAW, 0), one = 1;
  struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(device)};
  if (s < 0 || bind(s, (void *)&a, sizeof a) < 0) fail(device);
  setsockopt(s, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
  return s;
}

static void frames(char **v, int encapsulated) {
  static unsigned char buffer[BATCH][256];
  struct mmsghdr messages[BATCH];
  struct iovec parts[BATCH];
  const char *own = v[encapsulated ? 8 : 2];
  int six = strchr(own, ':') != 0, head = six ? 40 : 20, inner = head + 8 + PAYLOAD;
  int s = packet_socket(v[0]), outer = encapsulated ? 20 + 8 + 8 + 14 : 0, length = 14 + outer + inner;
  uint32_t source = six ? 0 : ip(own);
  unsigned char source6[16], peer6[16] = {0x20, 0x01, 0x00, 0x02};
  if (six && inet_pton(AF_INET6, own, source6) != 1) fail(own);
  uint64_t flows = strtoull(v[encapsulated ? 9 : 3], 0, 10), sent = 0, k = 0;
  double seconds = atof(v[encapsulated ? 10 : 4]);
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < BATCH; i++) {
    unsigned char *p = buffer[i];
    mac(p, v[1]);
    p[6] = 2;
    ethertype(p + 12, six && !encapsulated);
    if (encapsulated) {
      unsigned char *o = p + 14, *x = o + 28;
      header(o, outer + inner, ip(v[2]), ip(v[3]));
      udp(o + 20, 50000, atoi(v[4]), outer - 20 + inner);
      x[0] = 8;
      *(uint32_t *)(x + 4) = htonl((uint32_t)atoi(v[5]) << 8);
      mac(x + 8, v[6]);
      mac(x + 14, v[7]);
      ethertype(x + 20, six);
    }
    parts[i] = (struct iovec){p, length};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  for (double end = now() + seconds; now() < end;) {
    for (int i = 0; i < BATCH; i++, k++) {
      unsigned char *p = buffer[i] + 14 + outer;
      struct flow f = flow(flows ? k % flows : k);
      *(uint32_t *)(peer6 + 12) = htonl(f.peer);
      if (six)
        header6(p, inner, encapsulated ? source6 : peer6, encapsulated ? peer6 : source6);
      else
        header(p, inner, encapsulated ? source : f.peer, encapsulated ? f.peer : source);
      udp(p + head, encapsulated ? f.port : PEER_PORT, encapsulated ? PEER_PORT : f.port, 8 + PAYLOAD);
    }
    int r = sendmmsg(s, messages, BATCH, 0);
    if (r > 0) sent += r;
  }
  printf("%llu\n", (unsigned long long)sent);
}

static void gro(const char *device) {
  struct ethtool_value values[] = {{ETHTOOL_SGRO, 1}, {ETHTOOL_STSO, 0}};
  struct ifreq request = {0};
  int s = socket(AF_INET, SOCK_DGRAM, 0);
  strncpy(request.ifr_name, device, IFNAMSIZ - 1);
  for (int i = 0; i < 2; i++) {
    request.ifr_data = (void *)&values[i];
    if (ioctl(s, SIOCETHTOOL, &request) < 0) fail("SIOCETHTOOL");
  }
  puts("0");
}

static struct sockaddr_in at(const char *address, int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  a.sin_addr.s_addr = htonl(ip(address));
  return a;
}

static int listener(const char *address, int port) {
  int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  struct sockaddr_in a = at(address, port);
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(s, (void *)&a, sizeof a) < 0 || listen(s, 4096) < 0) fail("listen");
  return s;
}

static void *swallow(void *of) {
  static char buffer[1 << 18];
  int s = (int)(intptr_t)of;
  while (recv(s, buffer, sizeof buffer, 0) > 0) {
  }
  close(s);
  return 0;
}

static void *take_streams(void *of) {
  for (;;) {
    int s = accept((int)(intptr_t)of, 0, 0);
    pthread_t t;
    if (s >= 0 && pthread_create(&t, 0, swallow, (void *)(intptr_t)s) == 0) pthread_detach(t);
  }
  return 0;
}

static void *close_connections(void *of) {
  for (;;) {
    int s = accept((int)(intptr_t)of, 0, 0);
    if (s >= 0) close(s);
  }
  return 0;
}

static void serve(const char *address) {
  pthread_t t;
  int u = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in a = at(address, 9003), from;
  pthread_create(&t, 0, take_streams, (void *)(intptr_t)listener(address, 9001));
  pthread_create(&t, 0, close_connections, (void *)(intptr_t)listener(address, 9002));
  if (bind(u, (void *)&a, sizeof a) < 0) fail("bind");
  puts("ready");
  fflush(stdout);
  for (;;) {
    char b[2048];
    socklen_t l = sizeof from;
    ssize_t n = recvfrom(u, b, sizeof b, 0, (void *)&from, &l);
    if (n >= 0) sendto(u, b, n, 0, (void *)&from, l);
  }
}

static void stream(const char *address, double seconds) {
  static char buffer[1 << 17];
  struct sockaddr_in a = at(address, 9001);
  int s = socket(AF_INET, SOCK_STREAM, 0);
  uint64_t sent = 0;
  if (connect(s, (void *)&a, sizeof a) < 0) fail("connect");
  for (double end = now() + seconds; now() < end;) {
    ssize_t n = send(s, buffer, sizeof buffer, 0);
    if (n < 0) fail("send");
    sent += n;
  }
  printf("%llu\n", (unsigned long long)sent);
}

/* Each is closed by the server first, so that no port of the pod waits in TIME_WAIT; the client resets. */
static void connections(const char *address, double seconds) {
  enum { AT_ONCE = 32 };
  struct pollfd waiting[AT_ONCE];
  struct sockaddr_in a = at(address, 9002);
  struct linger reset = {1, 0};
  uint64_t made = 0;
  for (int i = 0; i < AT_ONCE; i++) waiting[i].fd = -1;
  for (double end = now() + seconds; now() < end;) {
    for (int i = 0; i < AT_ONCE; i++) {
      if (waiting[i].fd >= 0) continue;
      waiting[i] = (struct pollfd){socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), POLLOUT, 0};
      if (connect(waiting[i].fd, (void *)&a, sizeof a) < 0 && errno != EINPROGRESS) fail("connect");
    }
    poll(waiting, AT_ONCE, 10);
    for (int i = 0; i < AT_ONCE; i++) {
      if (!(waiting[i].revents & (POLLOUT | POLLERR | POLLHUP))) continue;
      int error = 0;
      socklen_t l = sizeof error;
      getsockopt(waiting[i].fd, SOL_SOCKET, SO_ERROR, &error, &l);
      if (error == 0) made++;
      setsockopt(waiting[i].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
      close(waiting[i].fd);
      waiting[i] = (struct pollfd){-1, 0, 0};
    }
  }
  printf("%llu\n", (unsigned long long)made);
}

static void echo(const char *address, double seconds) {
  enum { WINDOW = 64 };
  struct sockaddr_in a = at(address, 9003);
  struct timeval patience = {0, 100000};
  char b[64] = {0};
  int s = socket(AF_INET, SOCK_DGRAM, 0);
  uint64_t back = 0;
  if (connect(s, (void *)&a, sizeof a) < 0) fail("connect");
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  for (int i = 0; i < WINDOW; i++) send(s, b, sizeof b, 0);
  for (double end = now() + seconds; now() < end;) {
    if (recv(s, b, sizeof b, 0) > 0) {
      back++;
      send(s, b, sizeof b, 0);
    } else {
      for (int i = 0; i < WINDOW; i++) send(s, b, sizeof b, 0);
    }
  }
  printf("%llu\n", (unsigned long long)back);
}

int main(int c, char **v) {
  const char *mode = c > 1 ? v[1] : "";
  if (!strcmp(mode, "gro") && c == 3) gro(v[2]);
  else if (!strcmp(mode, "frames") && c == 13) frames(v + 2, 1);
  else if (!strcmp(mode, "replies") && c == 7) frames(v + 2, 0);
  else if (!strcmp(mode, "serve") && c == 3) serve(v[2]);
  else if (!strcmp(mode, "stream") && c == 4) stream(v[2], atof(v[3]));
  else if (!strcmp(mode, "connect") && c == 4) connections(v[2], atof(v[3]));
  else if (!strcmp(mode, "echo") && c == 4) echo(v[2], atof(v[3]));
  else {
    fprintf(stderr, "load: unknown mode or wrong number of arguments\n");
    return 2;
  }
  return 0;
}
