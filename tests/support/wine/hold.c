/* hold FILE write|alone: has the file open until standard input ends, and lets others write it or not.
 * Nobody may remove or rename it meanwhile, as is usual on Windows. */

#include <stdio.h>
#include <string.h>
#include <windows.h>

int main(int count, char **arguments) {
  DWORD sharing = FILE_SHARE_READ;
  if (count != 3) return 2;
  if (strcmp(arguments[2], "write") == 0) sharing |= FILE_SHARE_WRITE;
  HANDLE file = CreateFileA(arguments[1], GENERIC_READ, sharing, NULL, OPEN_EXISTING, 0, NULL);
  if (file == INVALID_HANDLE_VALUE) return 1;
  DWORD written;
  WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), "held\n", 5, &written, NULL);
  while (getchar() != EOF) {}
  return 0;
}
