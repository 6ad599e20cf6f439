/* Where the static program starts on x86_64, before musl's own _start.

   A position-independent program has thousands of addresses to correct by the place where it was
   loaded. Packed (DT_RELR, a bit for each) instead of listed they take 64 KB less. musl knows the
   packed form from 1.2.4 on, Debian 12 has 1.2.3: so they are corrected here, and musl is left none.
   Needs no header. Nothing is relocated yet when it runs: it touches no global but by its distance. */

struct entry { long tag; unsigned long value; };

enum { END = 0, PACKED_BYTES = 35, PACKED = 36 };

extern char __ehdr_start[] __attribute__((visibility("hidden")));
extern struct entry _DYNAMIC[] __attribute__((visibility("hidden")));

__attribute__((used)) static void correct_addresses(void) {
  unsigned long base = (unsigned long)__ehdr_start, *packed = 0, *place = 0;
  struct entry *bytes = 0;
  for (struct entry *entry = _DYNAMIC; entry->tag != END; entry++) {
    if (entry->tag == PACKED) packed = (unsigned long *)(base + entry->value);
    if (entry->tag == PACKED_BYTES) bytes = entry;
  }
  if (!packed || !bytes) return;
  /* An even word is a place; an odd one says, bit by bit, which of the next 63 words are places. */
  for (unsigned long *end = packed + bytes->value / sizeof *packed; packed < end; packed++) {
    if (*packed % 2 == 0) {
      place = (unsigned long *)(base + *packed);
      *place++ += base;
      continue;
    }
    for (unsigned long bits = *packed >> 1; bits; bits &= bits - 1) place[__builtin_ctzl(bits)] += base;
    place += 63;
  }
  bytes->value = 0;
}

/* The stack is musl's to read: left as the kernel made it. */
__asm__(".globl start_packed\nstart_packed: call correct_addresses\n jmp _start");
